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

// AnthropicModel is a model as the Messages API lists it, for clients that say
// anthropic-version on the shared path.
type AnthropicModel struct {
	Type        string    `json:"type"`
	ID          string    `json:"id"`
	DisplayName string    `json:"display_name"`
	CreatedAt   time.Time `json:"created_at"`
}

// AnthropicModelList is the Messages API's model list, all of it on one page.
type AnthropicModelList struct {
	Data    []AnthropicModel `json:"data"`
	HasMore bool             `json:"has_more"`
	FirstID *string          `json:"first_id"`
	LastID  *string          `json:"last_id"`
}

// NewAnthropicModel returns the entry of a model in the Messages API's form.
func NewAnthropicModel(id string, created time.Time) AnthropicModel {
	return AnthropicModel{Type: "model", ID: id, DisplayName: id, CreatedAt: created.UTC().Truncate(time.Second)}
}

// NewAnthropicModelList returns the list of the models ids in the Messages API's form.
func NewAnthropicModelList(ids []string, created time.Time) AnthropicModelList {
	list := AnthropicModelList{Data: make([]AnthropicModel, len(ids))}
	for i, id := range ids {
		list.Data[i] = NewAnthropicModel(id, created)
	}
	if n := len(ids); n > 0 {
		list.FirstID, list.LastID = &ids[0], &ids[n-1]
	}
	return list
}
