package session

import (
	"context"
	"encoding/base64"
	"errors"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"maxrelay/session/chat"
	"maxrelay/session/picture"
)

// fitted has, for the sources of pictures that a turn writes, what is written instead.
// The messages themselves stay as the client sent them: fingerprints are of those, so
// that a picture costs something when it is written and nothing while it is held.
type fitted map[*chat.Source]*chat.Source

// fit makes every picture that this turn is going to write fit. It runs before the
// first byte is written, so that a broken picture costs the client its request and
// nobody a process.
func (t *turn) fit(ctx context.Context) error {
	var sources []*chat.Source
	for _, m := range t.req.Messages[t.plan.keep:] {
		sources = append(sources, pictures(m.Content)...)
	}
	if len(sources) == 0 {
		return nil
	}
	results := make([]*chat.Source, len(sources))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, src := range sources {
		group.Go(func() (err error) {
			results[i], err = fitSource(ctx, src)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	t.fitted = make(fitted, len(sources))
	for i, src := range sources {
		t.fitted[src] = results[i]
	}
	return nil
}

// pictures returns the sources of the pictures in blocks that came as bytes.
func pictures(blocks []chat.Block) (sources []*chat.Source) {
	for _, b := range blocks {
		if b.Type == chat.BlockImage && b.Source != nil && b.Source.Type == "base64" {
			sources = append(sources, b.Source)
		}
		sources = append(sources, pictures(b.Content)...)
	}
	return sources
}

func fitSource(ctx context.Context, src *chat.Source) (*chat.Source, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	data, err := base64.StdEncoding.DecodeString(src.Data)
	if err != nil {
		return nil, chat.Invalid(src.At, "is not base64")
	}
	small, mediaType, err := picture.Fit(ctx, data)
	if err != nil {
		return nil, refusal(src, err)
	}
	out := &chat.Source{Type: "base64", MediaType: mediaType, Data: src.Data}
	if len(small) != len(data) || &small[0] != &data[0] {
		out.Data = base64.StdEncoding.EncodeToString(small)
	}
	return out, nil
}

// refusal names the field that a picture came in. Anything but a fault of the picture
// is the end of the turn's context.
func refusal(src *chat.Source, err error) error {
	for _, fault := range []error{picture.ErrFormat, picture.ErrHeader, picture.ErrSize, picture.ErrCorrupt} {
		if errors.Is(err, fault) {
			return chat.Invalid(src.At, "%v", fault)
		}
	}
	return err
}

// line returns the blocks as they are written to the CLI.
func (f fitted) line(blocks []chat.Block) []chat.Block {
	if !slices.ContainsFunc(blocks, func(b chat.Block) bool { return b.Source != nil || len(b.Content) > 0 }) {
		return blocks
	}
	out := slices.Clone(blocks)
	for i := range out {
		out[i].Source = f.source(out[i].Source)
		out[i].Content = f.line(out[i].Content)
	}
	return out
}

// source returns the fitting source; the place in the client's request is nothing that
// the CLI should read.
func (f fitted) source(src *chat.Source) *chat.Source {
	if src == nil {
		return nil
	}
	if small, ok := f[src]; ok {
		return small
	}
	own := *src
	own.At = ""
	return &own
}
