package main

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// certificate is what HTTP is encrypted with, replaced when its files are read again.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
}

func loadCertificate(cfg TLSConfig) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("tls.cert and tls.key: %w", err) // its words repeat paths, never what the files hold
	}
	return &pair, nil
}

// openTLS returns nil where HTTP is plain. SIGHUP reads the files again, for certificates
// that are renewed in place.
func (p *program) openTLS() (*tls.Config, error) {
	if p.cfg.TLS.Cert == "" {
		return nil, nil
	}
	pair, err := loadCertificate(p.cfg.TLS)
	if err != nil {
		return nil, err
	}
	c := new(certificate)
	c.current.Store(pair)
	p.onReload(func(cfg Config) (apply func(), err error) {
		pair, err := loadCertificate(cfg.TLS)
		if err != nil {
			return nil, err
		}
		return func() { c.current.Store(pair) }, nil
	})
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}, nil
}
