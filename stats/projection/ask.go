package projection

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A file beside the log asks whoever keeps it to make it anew. It has another name while
// that is done, and is gone afterwards.
const (
	askFile  = "rebuild"
	doneFile = "rebuild.running"

	askPause = 100 * time.Millisecond
)

// Rebuild asks whoever keeps the folder's log to make it anew, and waits until that is
// done.
func Rebuild(ctx context.Context, dir string) error {
	if err := Ask(dir); err != nil {
		return err
	}
	tick := time.NewTicker(askPause)
	defer tick.Stop()
	for isAsked(dir) || exists(filepath.Join(dir, doneFile)) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Ask lets the next one to look, or who does now, make the folder's log anew.
func Ask(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, askFile), nil, 0o600); err != nil {
		return fmt.Errorf("usage log: %w", err)
	}
	return nil
}

func isAsked(dir string) bool { return exists(filepath.Join(dir, askFile)) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func hearAsk(dir string) error {
	return ignoreMissing(os.Rename(filepath.Join(dir, askFile), filepath.Join(dir, doneFile)))
}

func answerAsk(dir string) error { return ignoreMissing(os.Remove(filepath.Join(dir, doneFile))) }

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
