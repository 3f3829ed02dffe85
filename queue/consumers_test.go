package queue

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestConsumersOutOfOrderAreToldOnce(t *testing.T) {
	var log bytes.Buffer
	tender := tender{o: &Owner{log: zerolog.New(&log)}}
	for _, err := range []error{nil, errors.New("no majority"), errors.New("no answer"), errors.New("no majority"), nil, nil} {
		tender.tell(err)
	}
	if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "not in order") || !strings.HasSuffix(got, "consumers are in order again\"}\n") {
		t.Errorf("logged %s", got)
	}
}
