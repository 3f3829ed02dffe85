package openai

import (
	"maxrelay/api/content"
	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// imageURLPart reads {"type":"image_url","image_url":…}, where the address stands alone
// or in an object. How closely to look (detail) is the model's affair.
func (r *reader) imageURLPart(v field.Value) (chat.Block, error) {
	image, err := v.Require("image_url", "a string or an object with the picture's url")
	if err != nil {
		return chat.Block{}, err
	}
	if image.Is('{') {
		if image, err = image.Require("url", "a data: or https: address"); err != nil {
			return chat.Block{}, err
		}
	}
	address, err := image.Text()
	if err != nil {
		return chat.Block{}, err
	}
	if content.IsDataURL(address) {
		data, err := content.ParseDataURL(image.At, address)
		if err != nil {
			return chat.Block{}, err
		}
		return r.Picture(image.At, data.Base64)
	}
	return content.Address(image.At, chat.BlockImage, address)
}

// filePart reads OpenAI's {"type":"file","file":{"file_data","filename"}}: a PDF, or
// text of any kind.
func (r *reader) filePart(v field.Value) (chat.Block, error) {
	file, err := v.Require("file", "an object with file_data")
	if err != nil {
		return chat.Block{}, err
	}
	members, err := file.Members("file_data", "file_id", "filename")
	if err != nil {
		return chat.Block{}, err
	}
	if id, ok := members["file_id"]; ok {
		return chat.Block{}, chat.Invalid(id.At, "is not supported, since no files are kept here: send the bytes as file_data")
	}
	data, ok := members["file_data"]
	if !ok {
		return chat.Block{}, chat.Invalid(file.Member("file_data"), "is required: the file as a data: address or in base64")
	}
	text, err := data.Text()
	if err != nil {
		return chat.Block{}, err
	}
	inline := content.Data{Base64: text}
	if content.IsDataURL(text) {
		if inline, err = content.ParseDataURL(data.At, text); err != nil {
			return chat.Block{}, err
		}
	}
	b, err := content.File(data.At, inline)
	if err != nil {
		return chat.Block{}, err
	}
	b.Title, err = content.Title(members, "filename")
	return b, err
}
