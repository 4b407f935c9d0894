package clients

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

const (
	maxDocumentURLLen = 2 << 10
	maxDocumentLen    = 5 << 10 // draft-ietf-oauth-client-id-metadata-document-02 section 8
)

// metadataDocuments knows the clients whose ID is the https URL of a document
// about them (draft-ietf-oauth-client-id-metadata-document-02).
type metadataDocuments struct {
	policy  *config.Registration
	egress  *egress.Client
	watched *watchedHosts
	source  *documentSource[*Client]
}

func newMetadataDocuments(policy *config.Registration, deps *DirectoryDeps) *metadataDocuments {
	schemes, watched := policy.RedirectSchemes, newWatchedHosts(policy, deps)
	return &metadataDocuments{
		policy:  policy,
		egress:  deps.Egress,
		watched: watched,
		source: newDocumentSource(deps, watched, deps.Documents.clients, strings.Join(schemes, " "), maxDocumentLen, func(id string, body []byte) (*Client, error) {
			return parseMetadataDocument(id, body, schemes)
		}),
	}
}

// isDocumentURL reports whether a client ID is meant to be such a URL. IDs
// that this server gives out never are.
func isDocumentURL(id string) bool {
	return strings.HasPrefix(id, "https://") || strings.HasPrefix(id, "http://")
}

// lookup returns the client that its document describes. Whatever goes wrong,
// the answer is the same: nobody learns through us what a host answers. Only a
// client that was known here is told to try again. The operator's policy is
// asked each time: what another site fetched may not be accepted by this one.
func (m *metadataDocuments) lookup(ctx context.Context, id string, by Requester) (*Client, error) {
	host, err := m.checkURL(id)
	if err != nil {
		return nil, unusableDocument(err)
	}
	if !*m.policy.MetadataDocuments || !hostAccepted(host, m.policy) {
		return nil, unusableDocument(errors.New("not accepted here")).Because("document_not_accepted")
	}
	c, err := m.source.get(ctx, id, by)
	if e := tryLater(err); e != nil {
		return nil, e
	}
	if err != nil && m.watched.outages.any(m.watched.hosts) { // anybody reads that in our metadata
		return nil, unreachableDocuments(err)
	}
	if err != nil {
		return nil, unusableDocument(err)
	}
	return c, nil
}

// fetchable reports whether documents can be fetched, as far as is known. A
// host that could not be reached is tried again, for the next one to ask.
func (m *metadataDocuments) fetchable(ctx context.Context) bool {
	now := m.source.now()
	for host, failed := range m.watched.outages.due(m.watched.hosts, now) {
		go m.tryAgain(context.WithoutCancel(ctx), host, failed)
	}
	return m.watched.reachable(ctx)
}

// tryAgain asks for what could not be had.
func (m *metadataDocuments) tryAgain(ctx context.Context, host, failed string) {
	if failed == "" {
		m.watched.resolveNames(ctx)
		return
	}
	_, _ = m.source.download(ctx, documentKey{m.source.rules, failed}, Requester{Known: true}, m.source.now())
}

func unusableDocument(cause error) *oauth.Error {
	return &oauth.Error{
		Status: http.StatusBadRequest, Code: "invalid_client", Reason: "document_unusable",
		Description: "The application's description of itself (its client metadata document) cannot be used: it could not be fetched, or it has a mistake.",
		Cause:       cause,
	}
}

func unreachableDocuments(cause error) *oauth.Error {
	e := unusableDocument(cause)
	e.Reason = "documents_unreachable"
	e.Description = "This site cannot fetch descriptions of applications (client metadata documents) right now, so it does not know this one. " +
		"Start again in the application, which may register in another way. If that does not help, tell whoever runs this site."
	return e
}

// checkURL returns the host of a client ID that is well-formed: https, a path,
// no query, fragment, user information or dot segments (section 3). It must
// be ASCII, so an internationalised host stands there as the A-label that
// people will be shown.
func (m *metadataDocuments) checkURL(id string) (host string, err error) {
	_, rest, _ := strings.Cut(id, ":")
	if len(id) > maxDocumentURLLen || !oauth.PlainURI(id) || strings.Contains(id, "?") || !strings.HasPrefix(rest, "//") {
		return "", errors.New("malformed URL")
	}
	if a := oauth.Authority(rest); !oauth.PlainAuthority(a) || len(rest) == len("//")+len(a) {
		return "", errors.New("malformed URL")
	}
	u, err := url.Parse(id)
	if err != nil {
		return "", err
	}
	return strings.ToLower(u.Hostname()), m.egress.CheckURL(u)
}

// hostAccepted applies the operator's trust policy.
func hostAccepted(host string, policy *config.Registration) bool {
	listed := func(entry string) bool {
		if strings.HasPrefix(entry, ".") {
			return strings.HasSuffix(host, strings.ToLower(entry))
		}
		return strings.EqualFold(host, entry)
	}
	if slices.ContainsFunc(policy.DenyHosts, listed) {
		return false
	}
	return len(policy.AllowHosts) == 0 || slices.ContainsFunc(policy.AllowHosts, listed)
}

// parseMetadataDocument reads the document of a client (section 4). Its
// client_id must be the URL byte for byte, and nothing in it a secret.
func parseMetadataDocument(id string, body []byte, redirectSchemes []string) (*Client, error) {
	var own struct {
		ClientID              string          `json:"client_id"`
		ClientSecret          json.RawMessage `json:"client_secret"`
		ClientSecretExpiresAt json.RawMessage `json:"client_secret_expires_at"`
	}
	if err := strictjson.Unmarshal(body, maxDocumentLen, &own); err != nil {
		return nil, err
	}
	if own.ClientID != id {
		return nil, errors.New("client_id is not the document's URL")
	}
	if own.ClientSecret != nil || own.ClientSecretExpiresAt != nil {
		return nil, errors.New("a public document holds no secret")
	}
	c := &Client{ID: id, Origin: MetadataDocument}
	if err := strictjson.Unmarshal(body, maxDocumentLen, &c.Metadata); err != nil {
		return nil, err
	}
	if err := CompleteMetadata(&c.Metadata, MetadataDocument, redirectSchemes); err != nil {
		return nil, err
	}
	if c.Metadata.ClientName == "" {
		return nil, errors.New("client_name is missing")
	}
	c.Fingerprint = Fingerprint(&c.Metadata)
	return c, nil
}
