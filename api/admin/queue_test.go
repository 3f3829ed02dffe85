package admin

import (
	"testing"

	"maxrelay/queue"
)

func TestAWorkersQueueIsOfItsPoolsAtAllNodes(t *testing.T) {
	sticky := func(worker string) queue.WaitingJob {
		return queue.WaitingJob{Pool: "default", Place: queue.PlaceWorker, Worker: worker}
	}
	looks := []queue.Look{
		{Keys: []queue.KeyStats{{Pool: "default", Waiting: 3, Running: 9}, {Pool: "team", Waiting: 10}}, Waiting: []queue.WaitingJob{sticky("a"), sticky("b")}},
		{Keys: []queue.KeyStats{{Pool: "default", Waiting: 4}, {Pool: "others", Waiting: 100}}, Waiting: []queue.WaitingJob{sticky("a"), {Pool: "default", Place: queue.PlaceBroker}}},
		{},
	}
	for _, tc := range []struct {
		id    string
		pools []string
		want  workerQueue
	}{
		{"a", []string{"default"}, workerQueue{7, 2}},
		{"b", []string{"default", "team"}, workerQueue{17, 1}},
		{"c", []string{"alone"}, workerQueue{}},
	} {
		if got := queueOf(queue.WorkerInfo{ID: tc.id, Pools: tc.pools}, looks); got != tc.want {
			t.Errorf("%s of %v: %+v, want %+v", tc.id, tc.pools, got, tc.want)
		}
	}
}
