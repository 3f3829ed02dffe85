package daybook

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"maxrelay/stats/totals"
)

// replace writes a file aside and puts it in the place of the former one. Only its owner
// can read it.
func replace(path string, render func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), asideOf(path)) // with mode 0600
	if err != nil {
		return err
	}
	err = render(file)
	if err == nil {
		err = file.Sync() // a crash of the machine leaves one of the two
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

func asideOf(path string) string { return "." + filepath.Base(path) + ".*" }

// leftover is how old a file aside is that nobody writes any more.
const leftover = time.Minute

// makeFolder makes the file's folder, and clears away what a kill left in it.
func makeFolder(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	aside, err := filepath.Glob(filepath.Join(dir, asideOf(path)))
	if err != nil {
		return err
	}
	for _, file := range aside {
		if info, err := os.Stat(file); err == nil && time.Since(info.ModTime()) > leftover {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// readFirstMessages returns the first messages that the file has, by day and request.
func readFirstMessages(path string) (map[totals.Day]map[string]string, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var former formerFile
	if err := json.NewDecoder(file).Decode(&former); err != nil {
		return nil, errors.New("the file is not readable") // the decoder's own words may repeat a message
	}
	return former.firstMessages(), nil
}
