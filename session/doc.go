// Package session keeps claude CLI processes warm and turns a chat.Request into a stream of chat.Event.
//
// A Pool owns the processes. A process is spawned unspecialised (a spare), becomes a
// session when a request claims it, and belongs to that request's tenant until it
// dies:
//
//	spawn ─▶ spare ─▶ busy ⇄ idle ─▶ dead
//	                   │              ▲
//	                   └──────────────┘   killed, recycled, evicted, expired
//
// Who may touch what: the pool's mutex guards membership (which process is a spare,
// busy or idle). A busy session belongs to the goroutine that runs its turn; an idle
// one's record is read under the pool's mutex and never written. Each process has
// three goroutines of its own, for stdout, for stderr, and to reap it.
//
// A turn never starts a process. It waits, and takes what suits it first: a session of
// its tenant that comes free, a spare, or one that the pool starts because it waits.
// Whatever changes the pool ends in balanceLocked, which is where turns and processes
// meet; what depends on time alone is the keeper's.
//
// What is held and what was asked are compared by fingerprints (chat.Chain). The plan
// for a request keeps the longest common prefix of some idle process, cuts what lies
// beyond it, replays what is missing and sends the last message. The history in the
// request is the truth: whatever goes wrong in a turn, the process is cut back to what
// it held before, or killed.
//
// Facts about the CLI's protocol in this package were measured on Claude Code 2.1.330.
package session
