// Package api is everything HTTP: who may call, what they asked, and how the answer is written.
//
// A request passes, in this order: an id, the panic catch, the access log, the check
// against browsers, the key, the body's limits, decoding, the model table, the
// canonical form, and the queue. What was asked and answered never reaches the log.
package api
