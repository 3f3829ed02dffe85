// Package chat is the canonical conversation: requests, messages, stream events, usage and the fingerprints that tell conversations apart.
//
// Its shape is the Messages API's (https://docs.anthropic.com/en/api/messages), because the
// CLI speaks it natively and it is the richer one; OpenAI's shape is translated at the edge.
// Everything that crosses the queue is a value of this package, encoded by this package.
package chat
