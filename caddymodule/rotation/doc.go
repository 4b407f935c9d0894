// Package rotation tells operators how far a change of the encryption key is: what
// still needs which key, and when one may leave the configuration.
//
// The work is done by package reseal; this one logs, and puts it into words. It
// never sees a key, only its name and where the operator keeps it.
package rotation
