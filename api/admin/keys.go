package admin

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/mux"

	"maxrelay/api/key"
)

func (a *Admin) createKey(w http.ResponseWriter, r *http.Request) error {
	d, err := bodyDraft(w, r)
	if err != nil {
		return err
	}
	s, err := d.apply(key.DefaultSettings(), a.cfg.Tiers(), a.cfg.Now())
	if err != nil {
		return err
	}
	record, secret := key.Mint(s, a.cfg.Now())
	event := Event{Action: "create", KeyID: record.ID, Fields: changed(key.DefaultSettings(), s)}
	if err := a.noted(w, r, event, func(ctx context.Context) error { return onBroker(a.store.Add(ctx, record)) }); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, a.mintedOf(record, secret))
}

func (a *Admin) listKeys(w http.ResponseWriter, r *http.Request) error {
	skip, limit, err := pageOf(r)
	if err != nil {
		return err
	}
	deleted, err := flag(r, "include_deleted")
	if err != nil {
		return err
	}
	all := slices.DeleteFunc(a.store.List(), func(k key.Record) bool { return k.Deleted() && !deleted })
	from := min(skip, len(all))
	items := []keyView{}
	for _, k := range all[from : from+min(limit, len(all)-from)] {
		items = append(items, a.viewOf(k))
	}
	return writeJSON(w, http.StatusOK, page[keyView]{items, len(all), skip, limit})
}

func (a *Admin) showKey(w http.ResponseWriter, r *http.Request) error {
	k, found := a.store.Get(idOf(r))
	if !found {
		return unknownKey
	}
	return writeJSON(w, http.StatusOK, a.viewOf(k))
}

func (a *Admin) showStats(w http.ResponseWriter, r *http.Request) error {
	k, found := a.store.Get(idOf(r))
	if !found {
		return unknownKey
	}
	return writeJSON(w, http.StatusOK, a.statsOf(k))
}

func (a *Admin) updateKey(w http.ResponseWriter, r *http.Request) error {
	d, err := bodyDraft(w, r)
	if err != nil {
		return err
	}
	record, err := a.change(w, r, "update", func(k *key.Record, now time.Time) (fields []string, err error) {
		before := k.Settings
		k.Settings, err = d.apply(before, a.cfg.Tiers(), now)
		return changed(before, k.Settings), err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, a.viewOf(record))
}

func (a *Admin) disableKey(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.setActive(w, r, "disable", false); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, said{"the key is disabled: it is refused from now on"})
}

func (a *Admin) enableKey(w http.ResponseWriter, r *http.Request) error {
	record, err := a.setActive(w, r, "enable", true)
	if err != nil {
		return err
	}
	message := "the key is enabled"
	if record.Expired(a.cfg.Now()) {
		message = "the key is enabled, but still refused: it expired on " + record.ExpiresAt.Format(time.DateTime) + " UTC; change its expires_at"
	}
	return writeJSON(w, http.StatusOK, said{message})
}

func (a *Admin) setActive(w http.ResponseWriter, r *http.Request, action string, active bool) (key.Record, error) {
	return a.change(w, r, action, func(k *key.Record, _ time.Time) ([]string, error) {
		if k.Active == active {
			return nil, nil
		}
		k.Active = active
		return []string{"is_active"}, nil
	})
}

// deleteKey keeps the record of the key for the books, unless it is to be gone for good.
func (a *Admin) deleteKey(w http.ResponseWriter, r *http.Request) error {
	hard, err := flag(r, "hard_delete")
	if err != nil {
		return err
	}
	if hard {
		return a.removeKey(w, r)
	}
	_, err = a.change(w, r, "delete", func(k *key.Record, now time.Time) ([]string, error) {
		k.Active, k.DeletedAt = false, now
		return []string{"is_active", "deleted_at"}, nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, said{"the key is deleted: it is refused from now on, and its usage stays in the books"})
}

func (a *Admin) removeKey(w http.ResponseWriter, r *http.Request) error {
	record, err := a.load(r)
	if err != nil {
		return err
	}
	event := Event{Action: "hard_delete", KeyID: record.ID}
	if err := a.noted(w, r, event, func(ctx context.Context) error { return onBroker(a.store.Remove(ctx, record)) }); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, said{"the key is gone for good"})
}

func (a *Admin) rotateKey(w http.ResponseWriter, r *http.Request) error {
	grace, err := graceOf(r)
	if err != nil {
		return err
	}
	var secret string
	record, err := a.change(w, r, "rotate", func(k *key.Record, now time.Time) ([]string, error) {
		secret = k.Rotate(now, grace)
		return []string{"api_key"}, nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, a.mintedOf(record, secret))
}

// change does to a key what the function does to its record. A deleted key does not
// change any more.
func (a *Admin) change(w http.ResponseWriter, r *http.Request, action string, edit func(*key.Record, time.Time) (fields []string, err error)) (key.Record, error) {
	record, err := a.load(r)
	if err != nil {
		return key.Record{}, err
	}
	if record.Deleted() {
		return key.Record{}, failure{status: http.StatusNotFound, code: "not_found", message: "the key with this id was deleted"}
	}
	now := a.cfg.Now().UTC()
	fields, err := edit(&record, now)
	if err != nil {
		return key.Record{}, err
	}
	record.UpdatedAt = now
	event := Event{Action: action, KeyID: record.ID, Fields: fields}
	return record, a.noted(w, r, event, func(ctx context.Context) error { return onBroker(a.store.Replace(ctx, record)) })
}

func (a *Admin) load(r *http.Request) (key.Record, error) {
	ctx, cancel := context.WithTimeout(r.Context(), writeWait)
	defer cancel()
	record, err := a.store.Load(ctx, idOf(r))
	return record, onBroker(err)
}

func bodyDraft(w http.ResponseWriter, r *http.Request) (draft, error) {
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	return parseDraft(body)
}

func idOf(r *http.Request) string { return mux.Vars(r)["id"] }
