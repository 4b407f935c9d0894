package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/pins"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/virtualkeys"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/cli"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/emitter"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway/upstream"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/health"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/instances"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/neighbours"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/process"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/rotation"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

func init() {
	caddy.RegisterModule(new(App))
	caddy.RegisterModule(adminapi.API{Active: activeOperator, Metrics: counts, Ready: readiness})
	health.Register(readiness)
	cli.Installed = installed
	caddycmd.RegisterCommand(cli.Command())
}

const appName = "mcp_oauth"

// App holds what all sites share: the store and the keys.
type App struct {
	// StorageRaw is where registrations, grants and tokens are kept.
	// Default: a bbolt database in Caddy's data directory.
	StorageRaw json.RawMessage `json:"storage,omitempty" caddy:"namespace=mcp_oauth.storage inline_key=engine"`
	// EncryptionKeys protect what must be read back: connected accounts,
	// registrations at providers, pending sign-ins, what identity providers are
	// asked again with, and the keys that sites sign with; and they mark access
	// tokens, which are refused without their key. Each is 32 random bytes
	// in base64 or hexadecimal, best given as a placeholder such as
	// `{file./run/secrets/mcp_oauth.key}`. The first encrypts, all decrypt. To
	// change it, put a new key first and keep the old one behind it: all that it has
	// sealed is sealed anew in the background, and the log and `caddy mcp-oauth
	// rotate-key` say when the old one may go. Default: one key, generated in Caddy's
	// data directory.
	EncryptionKeys []string `json:"encryption_keys,omitempty"`

	ctx    caddy.Context
	log    *zap.Logger
	events *event.Recorder // of what is no site's
	// audited is done when the audit log of a site hears of them.
	audited sync.Once
	emitter *emitter.Emitter
	engine  string // the name of the module that is the opener
	opener  storage.Opener

	loaded   time.Time
	instance *instances.Configuration // what other instances are told of it, once the store is open
	started  uint64                   // see starts
	ending   sync.Mutex               // held while what was withdrawn is being ended
	ended    bool                     // it has ended
	conns    upstream.Conns
	retrying context.CancelFunc
	mu       sync.Mutex
	opening  *opening                       // the attempt that is under way, or nil
	shared   *process.Shared[*processState] // nil until opened
	state    *processState                  // of it
	failure  error                          // why it is not, while that is tried again and again
	unfit    error                          // what the check found, too late for a refusal
	keyring  *seal.Keyring
	rotation *rotation.Rotation // of the keyring
	released bool
	sites    sites

	virtualKeys virtualkeys.Sites
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: appName, New: func() caddy.Module { return new(App) }}
}

// UnmarshalJSON names the field of what it cannot read.
func (a *App) UnmarshalJSON(data []byte) error {
	type plain App
	return config.Decode(data, (*plain)(a))
}

// Provision checks the configuration. It opens nothing, so that `caddy
// validate` works beside a running server.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.log, a.loaded = ctx, ctx.Logger(), time.Now()
	a.events = event.NewRecorder(event.Options{Now: time.Now}, event.NewLog(a.log))
	var err error
	if a.emitter, err = emitter.New(ctx, a.events); err != nil {
		return err
	}
	a.events.Add(a.emitter)
	if err := a.provision(); err != nil {
		return adapted.locate(a, err)
	}
	if err := counts.Register(ctx); err != nil {
		return err
	}
	return a.endStreamsOnExit(ctx)
}

func (a *App) provision() error {
	if err := a.loadStorage(); err != nil {
		return err
	}
	return a.checkKeys()
}

// checkNeighbours looks at what is around the handlers. Now all of Caddy's apps
// are there, which they are not while they are provisioned.
func (a *App) checkNeighbours() error {
	app, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return nil // without it there are no handlers
	}
	for _, h := range a.sites.handlers {
		if err := neighbours.CheckRewriters(app.(*caddyhttp.App), h, h.cfg.Issuer, h.log); err != nil {
			return err
		}
	}
	return nil
}

// servesOthers reports whether this Caddy serves anything besides what is ours.
func (a *App) servesOthers() bool {
	app, err := a.ctx.AppIfConfigured("http")
	return err != nil || neighbours.ServesOthers(app.(*caddyhttp.App)) // without it, something else needs us
}

// Cleanup lets go of what the process shares. It is called once for every
// provisioned App, started or not.
func (a *App) Cleanup() error {
	a.mu.Lock()
	shared := a.shared
	a.shared, a.state, a.released = nil, nil, true
	if a.retrying != nil {
		a.retrying()
	}
	a.mu.Unlock() // before Destruct, which waits for who may be asking for a gate
	if shared == nil {
		return nil
	}
	return shared.Leave()
}

// worksOn reports whether the configuration uses this state.
func (a *App) worksOn(p *processState) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state == p
}

// activeApp returns the app of the configuration that serves now, or nil.
func activeApp() *App {
	v, err := caddy.ActiveContext().AppIfConfigured(appName)
	if err != nil {
		return nil
	}
	app, _ := v.(*App)
	return app
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)

// activeOperator returns what an operator can see and end of the configuration
// that serves now, or nil if that has no site.
func activeOperator(open bool) *adminapi.Operator {
	app := activeApp()
	if app == nil {
		return nil
	}
	operator := &adminapi.Operator{Events: app.events, StoreName: app.storeName(), Failure: app.cause(), KeyLost: app.keyLost}
	offers, pinned := catalog.New(), pins.New()
	if open {
		var state *processState
		if state, operator.Keyring, operator.Failure = app.open(); operator.Failure != nil {
			return operator
		}
		operator.Store, operator.Tokens, operator.Rotation = state.store, state.tokens, rotationOf(app)
		operator.Traces, operator.Instances = state.Traces, state.instances
		offers, pinned = state.catalog, state.pins
	}
	for _, s := range app.sites.all() {
		issuer := s.as.Config().Issuer
		operator.Sites = append(operator.Sites, &adminapi.Site{
			Issuer: issuer, Server: s.as, Events: s.events, Accounts: s.broker, Keys: s.keys, Archive: s.archive, Kept: s.kept,
			Offers: func(server string) *catalog.Server { return offers.Of(issuer, server) },
			Pinned: func(server string) *pins.Tools { return pinned.Of(issuer, server) },
		})
	}
	return operator
}

// Why sign-ins and calls cannot be answered.
var (
	errNoSite   = errors.New("no site with mcp_oauth is configured")
	errStopping = errors.New("Caddy is stopping")
	errNotOpen  = errors.New("the store is being opened")
)

// readiness returns why sign-ins and calls cannot be answered now, or nil.
func readiness() error {
	app := activeApp()
	if app == nil {
		return errNoSite
	}
	if caddy.Exiting() {
		return errStopping
	}
	app.mu.Lock()
	state, failure, unfit := app.state, app.failure, app.unfit
	app.mu.Unlock()
	switch {
	case failure != nil:
		return failure
	case state == nil:
		return errNotOpen
	case unfit != nil:
		return unfit
	}
	for _, failure := range []*error{state.away.Load(), state.unwell.Load()} {
		if failure != nil {
			return *failure
		}
	}
	return state.instances.Problem()
}
