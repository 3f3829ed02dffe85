package queue

import (
	"fmt"
	"sync"
	"testing"
)

func TestNodesThatOpenAtOnceOpenInTurn(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, clusterConfigs(t))
	owners := make([]*Owner, len(nodes))
	var opening sync.Mutex
	var all sync.WaitGroup
	for i, b := range nodes {
		all.Go(func() {
			done, err := b.Turn(testContext(t))
			if err != nil {
				t.Error(err)
				return
			}
			defer done()
			if !opening.TryLock() {
				t.Error("two nodes open at once")
				return
			}
			defer opening.Unlock()
			nc, err := b.Connect(fmt.Sprint("owner", i))
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(nc.Close)
			if owners[i], err = NewOwner(testContext(t), nc, nil, OwnerConfig{Replicas: 3}, testLog(t)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, o := range owners {
		if o != nil {
			o.Close(cancelled())
		}
	}
}
