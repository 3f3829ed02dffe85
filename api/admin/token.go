package admin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	tokenTTL = 24 * time.Hour
	issuer   = "maxrelay-admin"

	// clockSkew is how far apart the clocks of two API nodes may be.
	clockSkew = 30 * time.Second

	secretBucket = "ADMIN"
	secretName   = "token_secret"
	secretBytes  = 32
)

// tokens makes and checks what an administrator proves a sign-in with: a JWT (RFC 7519)
// under HMAC-SHA-256.
//
// It is signed with a random secret that the broker keeps for all API nodes, so that a
// token holds at each of them and after a restart, combined with the password. So a new
// password ends all sign-ins, and whoever reads the broker's store cannot sign in.
type tokens struct {
	username string
	key      []byte
	parser   *jwt.Parser
	now      func() time.Time
}

func openTokens(ctx context.Context, js jetstream.JetStream, cfg Config, p password) (tokens, error) {
	kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: secretBucket, Description: "what signs the tokens of administrators, together with their password",
		Storage: jetstream.FileStorage, Replicas: cfg.Replicas, MaxBytes: 1 << 20,
	})
	if err != nil {
		return tokens{}, fmt.Errorf("creating bucket %s: %w", secretBucket, err)
	}
	secret, err := sharedSecret(ctx, kv)
	if err != nil {
		return tokens{}, fmt.Errorf("the secret of tokens: %w", err)
	}
	return newTokens(cfg, secret, p), nil
}

// sharedSecret returns the secret of the node that was here first.
func sharedSecret(ctx context.Context, kv jetstream.KeyValue) ([]byte, error) {
	secret := make([]byte, secretBytes)
	rand.Read(secret) // never fails
	_, err := kv.Create(ctx, secretName, secret)
	if err == nil || !errors.Is(err, jetstream.ErrKeyExists) {
		return secret, err
	}
	entry, err := kv.Get(ctx, secretName)
	if err != nil {
		return nil, err
	}
	if len(entry.Value()) != secretBytes {
		return nil, errors.New("it has another length")
	}
	return entry.Value(), nil
}

func newTokens(cfg Config, secret []byte, p password) tokens {
	mac := hmac.New(sha256.New, secret)
	mac.Write(p[:])
	return tokens{
		username: cfg.Username,
		key:      mac.Sum(nil),
		now:      cfg.Now,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), // or the token could choose (RFC 8725, section 3.1)
			jwt.WithIssuer(issuer), jwt.WithSubject(cfg.Username), jwt.WithStrictDecoding(),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(clockSkew), jwt.WithTimeFunc(cfg.Now)),
	}
}

func (t tokens) issue() (string, error) {
	now := t.now()
	claims := jwt.RegisteredClaims{
		Issuer: issuer, Subject: t.username,
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(tokenTTL)),
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(t.key)
}

// check also wants the time of issue, which the parser only looks at where there is one.
func (t tokens) check(token string) error {
	var claims jwt.RegisteredClaims
	if _, err := t.parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return t.key, nil }); err != nil {
		return err
	}
	if claims.IssuedAt == nil {
		return errors.New("the token does not say when it was issued")
	}
	return nil
}

func bearer(r *http.Request) (token string, found bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "bearer") && token != ""
}
