// Package blockid speaks the wire protocol of 1Kosmos BlockID: key agreement,
// the encrypted envelope, service discovery, identity verification (IDV)
// sessions, identity assurance levels (IAL), the ways to have a known user
// recognised by their face (UWL 2.0 sessions and the Workflow API), and access codes
// and text messages, which 1Kosmos sends for its customers. It also has a client for
// the Bearer-token "/v1" profile that 1Kosmos shows on its integration pages.
//
// It is an independent implementation, written from public documentation and
// from observed behaviour. It is not made, endorsed or supported by 1Kosmos.
//
// # Levels
//
// [PrivateKey], [PublicKey], [SharedKey] and [RequestID] are the protocol's
// cryptography, useful to clients and servers alike. [Client] builds on them
// for the encrypted platform API, [V1Client] is the Bearer profile. Every call
// that fails returns an [*Error], whose Kind says what went wrong and whose
// Temporary method says whether to try again.
//
// # How one encrypted call is made
//
//	community info ----> service directory ----> service public key
//	 (10 min cache)       (10 min cache)          (10 min cache)
//	                                                   |
//	   ECDH(our key, service key), computed once per service key
//	                                                   |
//	   POST, headers sealed for that key  <------------+
//	        |            |                             |
//	        | 2xx        | "can't be decrypted", or    | other
//	        v            | an answer we cannot open    v
//	     open, parse     |                          *Error
//	                     +--> refresh all three, once, and send
//	                          again with a new request id
//
// # Trust
//
// Trust begins with TLS to the configured host. Where services live and which
// public keys they have is learned over it, and believed only for https URLs
// on allowed hosts. The sealed envelope then keeps a result from whoever only
// relays it. The proof JWTs inside are signed with a symmetric key (HS256)
// that only 1Kosmos holds, so nobody else can verify them; this package parses
// their structure and claims nothing more.
//
// An answer to a UWL session is sealed by the app of whoever took it, and says
// whom it is about as that app likes. [Client.Authenticate] believes nothing of it
// but the wallet, and that only if the answer was sealed with the key that the
// admin console has for this wallet. Each session has a key pair of its own, on our
// side, so that an answer given to one opens in no other.
//
//	NewSession ----> link, shown as a code ----> app reads it, posts an answer
//	    |                                            | sealed: app key, session key
//	    v                                            v
//	SessionAnswer <---- 404 pending, 400 expired, 200 the answer
//	    |
//	Authenticate: user info of the answer's DID: same key? which users?
//
// A status that this package does not know is [StatusUnknown], never success.
// Neither is an answer that contradicts itself or is about another session.
package blockid
