package queue

import (
	"errors"
	"testing"
)

func TestAMarkBelongsToOneLivingNode(t *testing.T) {
	b := startBroker(t)
	first, second := startOwner(t, b, OwnerConfig{Node: "first"}), startOwner(t, b, OwnerConfig{Node: "second"})
	ctx := testContext(t)
	mark := func(o *Owner, name string, want error) {
		t.Helper()
		if err := o.Mark(ctx, name); !errors.Is(err, want) {
			t.Fatalf("%s marking %s: %v, want %v", o.node, name, err, want)
		}
	}
	mark(first, "a", nil)
	mark(first, "a", nil) // it holds it already
	mark(second, "a", ErrMarked)
	mark(second, "b", nil)

	second.Unmark(ctx, "a") // not its own: nothing happens
	mark(second, "a", ErrMarked)
	first.Unmark(ctx, "a")
	mark(second, "a", nil)
	mark(first, "a", ErrMarked)

	second.Close(cancelled())
	mark(first, "a", nil) // inherited
	mark(first, "b", nil)

	if err := first.Mark(ctx, "not.a.token"); err == nil {
		t.Error("a name with a dot was taken")
	}
}

func TestMarksOutliveABrokerThatLostThem(t *testing.T) {
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	ctx := testContext(t)
	if err := o.Mark(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if err := o.js.DeleteKeyValue(ctx, marksBucket); err != nil {
		t.Fatal(err)
	}
	if err := o.Mark(ctx, "a"); err != nil {
		t.Error(err)
	}
}
