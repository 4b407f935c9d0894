package upstream

// ClientDocument is a client ID metadata document of ours.
type ClientDocument struct {
	Path string
	Body []byte
}

// ClientDocuments returns our client ID metadata documents, one for each
// server: what is known of us at one provider is of no use at another. There
// are none unless our public URL is https.
func (b *Broker) ClientDocuments() []ClientDocument { return nil }
