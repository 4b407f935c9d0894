package authz

var errUnknownResource = fail("invalid_target", "The requested resource is not one of this server's.")
