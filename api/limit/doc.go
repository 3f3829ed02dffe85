// Package limit admits requests: it counts them against rates and reserves tokens against quotas, exactly and across all API nodes.
//
// Rates. A request asks by publishing itself on the memory stream RATE, and is decided
// when it comes back: every node reads the same requests in the same order and lets each
// take a place in its key's sliding window or not, by the same rule. So no window ever
// holds more than its rate allows, whichever node was asked. A window that is known to
// be full refuses without asking.
//
// Quotas. The file stream QUOTA, or QUOTAS where it has replicas, counts the tokens of a key's day or life with the
// broker's own counters (nats-server 2.15.2), one message for each change:
//
//	reserve  <request>.0    +n   looked at afterwards; what is above the quota is taken back
//	grow     <request>.1 …  +n
//	settle   <request>.end  what makes the sum of the request's changes the tokens it used
//
// The change and the note of whose it is are one message, so there is no moment in which
// one is known without the other. Every node follows the stream and knows what is held by
// whom; what a dead node held is settled by another, which finds out what was used. The
// broker drops a message whose id it knows, and messages stay as long as it does.
//
// Without the broker, or while its cluster has no leader, rates are kept by each node for
// itself, from what it last knew; with n nodes a key can come to n times its rate then.
// Quotas are not: a request that needs a reservation waits a moment and is refused with
// 503, a running answer goes on with what it has reserved, and what was used is settled
// when the broker is back. Warning tells of both.
package limit
