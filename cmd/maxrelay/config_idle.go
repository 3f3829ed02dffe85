package main

import "github.com/rs/zerolog"

// notice is of a setting that is no error, and does not do what it seems to.
type notice struct{ key, message string }

// notices are those of a configuration.
func (c Config) notices() (all []notice) {
	note := func(on bool, key, message string) {
		if on {
			all = append(all, notice{key, message})
		}
	}
	cluster, alone := c.NATS.Cluster, !c.NATS.Cluster.on()
	const noCluster = "has no effect without nats.cluster.routes"
	note(alone && cluster.Secret != "", "nats.cluster.secret", noCluster)
	note(alone && cluster.Listen != defaultConfig().NATS.Cluster.Listen, "nats.cluster.listen", noCluster)
	note(c.NATS.Credentials != "" && c.NATS.URL == "", "nats.credentials", "has no effect without nats.url")
	note(len(c.Auth.Pools) > 0 && !c.Auth.Enabled, "auth.pools", "keeps nobody apart who sends no key of a pool: auth.enabled is false, so such callers are served by the pool default")
	note(!alone && c.Admin.Password == "", "admin.password", "is not set: each node of the cluster makes its own, and refuses tokens of the others; set the same one on all")
	return all
}

// tell logs them by their keys.
func tell(log zerolog.Logger, all []notice) {
	for _, n := range all {
		log.Warn().Str("key", n.key).Msg(n.message)
	}
}
