package queue

import (
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// answerLife bounds how long a worker may answer a request, and once is enough.
const answerLife = time.Minute

// memberPermissions are all that a joined worker may do under one id: pull and acknowledge its tickets, claim jobs of its
// pools, send what comes of them, and say what it holds. It reads no stream, no bucket and no other worker's subjects.
func memberPermissions(id string, pools []string) *server.Permissions {
	publish := []string{
		ownerSubject("*", verbBody, id), ownerSubject("*", verbAlive, id),
		frameSubject("*", id, "*"), upSubject(id, "*"),
	}
	consumers := []string{workerConsumer(id)}
	for _, pool := range pools {
		consumers = append(consumers, poolConsumer(pool))
		publish = append(publish, claimSubject("*", pool, id))
	}
	for _, c := range consumers {
		publish = append(publish, pullSubject(c), "$JS.ACK."+jobsStream+"."+c+".>")
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: []string{downSubject(id, "*"), downSubject(everyWorker, verbHello), inboxPrefix(id) + ".>"}},
		Response:  &server.ResponsePermission{MaxMsgs: 1, Expires: answerLife},
	}
}

// invitedPermissions let an invited worker hand in its key.
func invitedPermissions(name string) *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{joinSubject(name)}},
		Subscribe: &server.SubjectPermission{Allow: []string{inboxPrefix(joinName(name)) + ".>"}},
	}
}
