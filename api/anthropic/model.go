package anthropic

import "time"

// Model is an entry of the model list. What is always null here, this server does not
// know of its models.
type Model struct {
	Type           string    `json:"type"`
	ID             string    `json:"id"`
	DisplayName    string    `json:"display_name"`
	CreatedAt      time.Time `json:"created_at"`
	Lifecycle      string    `json:"lifecycle"`        // active
	Capabilities   *struct{} `json:"capabilities"`     // always null
	Line           *struct{} `json:"line"`             // always null
	MaxInputTokens *struct{} `json:"max_input_tokens"` // always null
	MaxTokens      *struct{} `json:"max_tokens"`       // always null
	DeprecatedAt   *struct{} `json:"deprecated_at"`    // always null
	RetiresAt      *struct{} `json:"retires_at"`       // always null
}

// ModelList is a page of the answer of GET /v1/models to clients that say anthropic-version.
type ModelList struct {
	Data    []Model `json:"data"`
	HasMore bool    `json:"has_more"`
	FirstID *string `json:"first_id"`
	LastID  *string `json:"last_id"`
}

// NewModel returns the entry of a model.
func NewModel(id string, created time.Time) Model {
	return Model{Type: "model", ID: id, DisplayName: id, CreatedAt: created.UTC().Truncate(time.Second), Lifecycle: "active"}
}

// NewModelList returns a page of the models ids, which are sorted.
func NewModelList(ids []string, p Page, created time.Time) ModelList {
	ids, more := p.of(ids)
	list := ModelList{Data: make([]Model, len(ids)), HasMore: more}
	for i, id := range ids {
		list.Data[i] = NewModel(id, created)
	}
	if n := len(ids); n > 0 {
		list.FirstID, list.LastID = &ids[0], &ids[n-1]
	}
	return list
}
