package client

import (
	"strings"
	"testing"
)

func TestMetadataPlaces_CL4(t *testing.T) {
	places, err := metadataPlaces("https://as.example:8443/t")
	want := []string{
		"https://as.example:8443/.well-known/oauth-authorization-server/t", "https://as.example:8443/.well-known/openid-configuration/t",
		"https://as.example:8443/t/.well-known/openid-configuration",
	}
	if err != nil || strings.Join(places, " ") != strings.Join(want, " ") {
		t.Errorf("places %q, %v; want %q", places, err, want)
	}
}
