package queue

import "github.com/nats-io/nats-server/v2/server"

// memberPermissions are all that a joined worker may do under one id: pull and acknowledge its tickets, claim jobs of its
// pools, send what comes of them, say what it holds, and answer owners. It reads no stream, no bucket and no other
// worker's subjects. What the broker or an owner would answer goes by the desk.
//
// There is no permission to answer whatever was asked, as the server offers: a ticket is a question of the broker's, and
// the answer could name a subject of its own to be answered at.
func memberPermissions(id string, pools []string) *server.Permissions {
	publish := []string{
		ownerSubject("*", verbBody, id), ownerSubject("*", verbAlive, id),
		frameSubject("*", id, "*"), upSubject(id, "*"), viaSubject(id, inboxPrefix(OwnerName)+".>"),
	}
	consumers := []string{workerConsumer(id)}
	for _, pool := range pools {
		consumers = append(consumers, poolConsumer(pool))
		publish = append(publish, claimSubject("*", pool, id))
	}
	for _, c := range consumers {
		publish = append(publish, viaSubject(id, pullSubject(c)), viaSubject(id, "$JS.ACK."+jobsStream+"."+c+".>"))
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: []string{downSubject(id, "*"), downSubject(everyWorker, verbHello), memberInbox(id) + ".>"}},
	}
}

// invitedPermissions let an invited worker hand in its key, under the invitation that it came with.
func invitedPermissions(name string, invite []byte) *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{joinSubject(name, invite)}},
		Subscribe: &server.SubjectPermission{Allow: []string{invitedInbox(name) + ".>"}},
	}
}
