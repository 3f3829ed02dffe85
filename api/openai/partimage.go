package openai

import (
	"encoding/base64"
	"strings"

	"maxrelay/session/chat"
	"maxrelay/session/picture"
)

// imageURLPart reads {"type":"image_url","image_url":…}, where the address stands alone
// or in an object. How closely to look (detail) is the model's affair.
func (r *reader) imageURLPart(v value) (chat.Block, error) {
	image, err := v.require("image_url", "a string or an object with the picture's url")
	if err != nil {
		return chat.Block{}, err
	}
	if image.is('{') {
		if image, err = image.require("url", "a data: or https: address"); err != nil {
			return chat.Block{}, err
		}
	}
	address, err := image.text()
	if err != nil {
		return chat.Block{}, err
	}
	if isData(address) {
		data, err := dataURL(image.at, address)
		if err != nil {
			return chat.Block{}, err
		}
		return r.pictureBlock(image.at, data.base64)
	}
	return urlBlock(image.at, chat.BlockImage, address)
}

// imagePart reads the Messages API's {"type":"image","source":…}. What else stands there,
// like cache_control, is left out: the breakpoints of the prompt cache are the CLI's.
func (r *reader) imagePart(v value) (chat.Block, error) {
	source, kind, name, err := v.source()
	if err != nil {
		return chat.Block{}, err
	}
	switch name {
	case "base64":
		data, err := source.requireText("data", "the picture in base64")
		if err != nil {
			return chat.Block{}, err
		}
		return r.pictureBlock(source.member("data"), data)
	case "url":
		return source.urlSource(chat.BlockImage)
	}
	return chat.Block{}, chat.Invalid(kind.at, "must be base64 or url")
}

// source returns an Anthropic block's source and its type.
func (v value) source() (source, kind value, name string, err error) {
	if source, err = v.require("source", "an object that says where the bytes are"); err != nil {
		return source, kind, "", err
	}
	kind, name, err = source.kindOf("base64 or url")
	return source, kind, name, err
}

func (v value) urlSource(t chat.BlockType) (chat.Block, error) {
	address, err := v.requireText("url", "an http: or https: address")
	if err != nil {
		return chat.Block{}, err
	}
	return urlBlock(v.member("url"), t, address)
}

func urlBlock(at string, t chat.BlockType, address string) (chat.Block, error) {
	if err := checkAddress(at, address); err != nil {
		return chat.Block{}, err
	}
	return chat.Block{Type: t, Source: &chat.Source{Type: "url", URL: address}}, nil
}

// pictureBlock makes a block of a picture's base64. Only its header is read here; the
// worker that writes it decodes it all, and finds the field at fault in At.
func (r *reader) pictureBlock(at, encoded string) (chat.Block, error) {
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
