// Package persons is what is kept of the people whom identity providers know, and
// how long that is taken for true.
//
// It owns the records of people: what a login writes into them, their renewal
// without the person, and what ends a person with all that they have. Which kinds of
// people can be renewed, and what a provider's answer means, is their method's, in
// authz/identity; what somebody may use is for authz/grants.
//
// It never asks a person for anything.
package persons
