// Package queue moves jobs and their events between API nodes and workers over NATS.
//
// The API node that took an HTTP request owns the job: body and state stay in its memory. The broker holds a ticket of
// a few hundred bytes that says where to ask for it.
//
//	Owner                               broker                         Worker
//	Submit ──ticket──▶ JOBS  jobs.w.<worker>  some worker is warm for it
//	                         jobs.q.<pool>.<key>  otherwise  ──pull──▶
//	       ◀──────────── api.<node>.claim.<worker> ───────────────────  first claim wins
//	       ──────────── go + epoch + body ───────────────────────────▶  handle(Task)
//	Next   ◀──────────── r.<node>.<worker>.<job>, numbered frames ────  Task.Send
//	End    ◀──────────── the same subject, as a request ──────────────  Task.End
//
// A job has two counters. The place counts its tickets, so that a ticket can be replaced; the epoch counts granted
// claims and stands in every frame, so that whatever an abandoned attempt still says is ignored.
//
// A call is in one of these phases:
//
//	          ┌────────────── a place in line got free ─────────────┐
//	Submit ─▶ inLine    ┌───────────────────────────────────────▶ ticketed ──claim──▶ running ─▶ ended
//	     └──▶ sticky ───┘ its worker did not claim in time          ▲                    │
//	            └──────────────────── claim ────────────────────────┼──▶ running         │
//	          paused ───────────────── backoff is over ─────────────┘                    │
//	             ▲──────────── the attempt failed and nothing was shown ─────────────────┘
//
// Bodies, event payloads and the data of an end are opaque bytes here.
package queue
