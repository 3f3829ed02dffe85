package api

import (
	"fmt"
	"slices"
	"testing"
)

func TestTheFullestQuotasAreToldEachNameOnce(t *testing.T) {
	got := leading([]quota{{"ann", 0.2}, {"bob", 0.9}, {"ann", 0.5}, {"eve", 0}})
	if want := []quota{{"bob", 0.9}, {"ann", 0.5}, {"eve", 0}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestKeysCannotFloodTheMetrics(t *testing.T) {
	var many []quota
	for i := range 3 * maxQuotas {
		many = append(many, quota{fmt.Sprint("key ", i), float64(i)})
	}
	got := leading(many)
	if len(got) != maxQuotas || got[0].ratio != 3*maxQuotas-1 {
		t.Errorf("%d are told, the first %v", len(got), got[0])
	}
}
