// Package upstream passes requests on to Messages APIs with the operator's key and reads in passing what they used.
//
// A request can reach the configured hosts only, and only below their configured path.
// Nothing the client proved itself with goes there; of the upstream's answer everything
// comes back but what is between it and us: its cookies, its rules for browsers, and a
// refusal of the operator's key.
package upstream
