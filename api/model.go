package api

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"

	"github.com/gorilla/mux"

	"maxrelay/api/anthropic"
	"maxrelay/api/key"
	"maxrelay/api/openai"
	"maxrelay/api/roster"
	"maxrelay/session/chat"
)

// aliases are the CLI's own short names (Claude Code 2.1.330).
var aliases = []string{"sonnet", "opus", "haiku", "fable", "best", "sonnet[1m]", "opus[1m]", "fable[1m]", "opusplan"}

// fullName is what the CLI's full names look like. Whether there is such a model is
// for the upstream to say.
var fullName = regexp.MustCompile(`^claude-[a-z0-9][a-z0-9.@:-]*(\[1m\])?$`)

const maxModelName = 128

// resolve returns the CLI's name for a client's model id.
func (s *Server) resolve(id string) (string, error) {
	if name, ok := s.live.Load().models[id]; ok {
		return name, nil
	}
	if slices.Contains(aliases, id) || len(id) <= maxModelName && fullName.MatchString(id) {
		return id, nil
	}
	return "", modelNotFound()
}

func modelNotFound() error {
	return &chat.Error{Code: chat.CodeModelNotFound, Param: "model", Message: "no model has this id: GET /v1/models lists those there are"}
}

// allowModel refuses a caller whose key has a list of models without this one. Whether
// there is such a model it does not say.
func allowModel(who key.Identity, id string) error {
	if who.MayUse(id) {
		return nil
	}
	return forbidden("the API key may not use this model: GET /v1/models lists those it may")
}

// modelIDs returns what a caller may ask for: the configured ids while any worker of its
// pool lives, and what the workers report.
func (s *Server) modelIDs(who key.Identity) []string {
	ids := []string{}
	alive := false
	for _, w := range s.owner.Workers() {
		if slices.Contains(w.Pools, who.Pool) {
			alive = true
			ids = append(ids, roster.Of(w).Told.Models...)
		}
	}
	if alive {
		for id := range s.live.Load().models {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return !who.MayUse(id) })
}

// listModels answers clients of the Messages API by pages, and others at once.
func (s *Server) listModels(x *exchange, r *http.Request) error {
	ids := s.modelIDs(x.identity)
	if x.speaks == openAI {
		return x.json(http.StatusOK, openai.NewModelList(ids, s.started))
	}
	page, err := anthropic.DecodePage(r.URL.Query())
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, anthropic.NewModelList(ids, page, s.started))
}

func (s *Server) getModel(x *exchange, r *http.Request) error {
	id := mux.Vars(r)["id"]
	if err := allowModel(x.identity, id); err != nil {
		return err
	}
	if !slices.Contains(s.modelIDs(x.identity), id) {
		return modelNotFound()
	}
	if x.speaks == openAI {
		return x.json(http.StatusOK, openai.NewModel(id, s.started))
	}
	return x.json(http.StatusOK, anthropic.NewModel(id, s.started))
}

// json writes v as the whole answer.
func (x *exchange) json(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	x.body(status, body)
	return nil
}

// body writes JSON as the whole answer. A client that left is no error of the server.
func (x *exchange) body(status int, text []byte) {
	x.Header().Set("Content-Type", "application/json")
	x.WriteHeader(status)
	_, _ = x.Write(text)
}
