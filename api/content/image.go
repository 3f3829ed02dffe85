package content

import (
	"encoding/base64"
	"strings"

	"maxrelay/api/field"
	"maxrelay/session/chat"
	"maxrelay/session/picture"
)

// Image reads the Messages API's {"type":"image","source":…}. What else stands there,
// like cache_control, is left out: the breakpoints of the prompt cache are the CLI's.
func (r *Reader) Image(v field.Value) (chat.Block, error) {
	src, kind, name, err := source(v)
	if err != nil {
		return chat.Block{}, err
	}
	switch name {
	case "base64":
		data, err := src.RequireText("data", "the picture in base64")
		if err != nil {
			return chat.Block{}, err
		}
		return r.Picture(src.Member("data"), data)
	case "url":
		return urlSource(src, chat.BlockImage)
	}
	return chat.Block{}, chat.Invalid(kind.At, "must be base64 or url")
}

// source returns an Anthropic block's source and its type.
func source(v field.Value) (source, kind field.Value, name string, err error) {
	if source, err = v.Require("source", "an object that says where the bytes are"); err != nil {
		return source, kind, "", err
	}
	kind, name, err = source.Type("base64 or url")
	return source, kind, name, err
}

func urlSource(v field.Value, t chat.BlockType) (chat.Block, error) {
	address, err := v.RequireText("url", "an http: or https: address")
	if err != nil {
		return chat.Block{}, err
	}
	return Address(v.Member("url"), t, address)
}

// Address makes a block of an address that the upstream is to fetch.
func Address(at string, t chat.BlockType, address string) (chat.Block, error) {
	if err := checkAddress(at, address); err != nil {
		return chat.Block{}, err
	}
	return chat.Block{Type: t, Source: &chat.Source{Type: "url", URL: address}}, nil
}

// Picture makes a block of a picture's base64. Only its header is read here; the
// worker that writes it decodes it all, and finds the field at fault in At.
func (r *Reader) Picture(at, encoded string) (chat.Block, error) {
	data, err := canonical64(at, encoded)
	if err != nil {
		return chat.Block{}, err
	}
	h, err := picture.Check(base64.NewDecoder(base64.StdEncoding, strings.NewReader(data)))
	if err != nil {
		return chat.Block{}, chat.Invalid(at, "%v", err)
	}
	if err := r.count(at, h); err != nil {
		return chat.Block{}, err
	}
	return chat.Block{Type: chat.BlockImage, Source: &chat.Source{Type: "base64", MediaType: h.MediaType, Data: data, At: at}}, nil
}
