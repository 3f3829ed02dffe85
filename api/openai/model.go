package openai

import "time"

// Model is an entry of the model list.
type Model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// ModelList is the answer of GET /v1/models.
type ModelList struct {
	Object string  `json:"object"`
	Data   []Model `json:"data"`
}

// NewModel returns the entry of a model.
func NewModel(id string, created time.Time) Model {
	return Model{ID: id, Object: "model", Created: created.Unix(), OwnedBy: "anthropic"}
}

// NewModelList returns the list of the models ids.
func NewModelList(ids []string, created time.Time) ModelList {
	list := ModelList{Object: "list", Data: make([]Model, len(ids))}
	for i, id := range ids {
		list.Data[i] = NewModel(id, created)
	}
	return list
}
