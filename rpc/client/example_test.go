package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// The examples run against a daemon at this address.
var url = client.DefaultURL

func Example() {
	defer runDaemon()()
	ctx := context.Background()

	c, err := client.Dial(ctx, url, client.Options{Reconnect: true})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	task, err := c.Create(ctx, schema.Draft{Title: "Write the report", Priority: schema.High})
	if err != nil {
		log.Fatal(err)
	}
	task, err = c.Update(ctx, schema.UpdateParams{
		ID:    task.ID,
		Patch: schema.Patch{Status: schema.Some(schema.Done)},
	})
	fmt.Println(task.Title, "is", task.Status, err)
	// Output: Write the report is done <nil>
}

// An error answer has a code, which errors.Is compares, and data.
func ExampleClient_Update() {
	defer runDaemon()()
	ctx := context.Background()
	c, err := client.Dial(ctx, url, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	_, err = c.Update(ctx, schema.UpdateParams{ID: "report", Patch: schema.Patch{Status: schema.Some(schema.Done)}})
	switch {
	case errors.Is(err, schema.CodeTaskNotFound):
		answer, _ := errors.AsType[*schema.Error](err)
		fmt.Println("gone:", answer.Data.ID)
	case errors.Is(err, client.ErrDisconnected):
		fmt.Println("it may have been made: ask again")
	}
	// Output: gone: report
}

// Every change, in order, once. The last cursor is all that a program has to keep to
// go on from there another day.
func ExampleClient_Subscribe() {
	defer runDaemon()()
	ctx := context.Background()
	c, err := client.Dial(ctx, url, client.Options{Reconnect: true})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	events, err := c.Subscribe(ctx, schema.SubscribeParams{Since: new(schema.SinceStart), DebounceMS: new(int64(0))})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.Create(ctx, schema.Draft{ID: "report", Title: "Write the report"}); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Delete(ctx, schema.DeleteParams{ID: "report"}); err != nil {
		log.Fatal(err)
	}
	for event, err := range events.Events(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		switch event.ChangeType {
		case schema.Bookmark:
			continue // nothing is missing up to event.Cursor
		case schema.Resync:
			fmt.Println("a new snapshot comes:", event.Reason)
		default:
			fmt.Println(event.ChangeType, event.TaskID)
		}
		if event.ChangeType == schema.Deleted {
			break
		}
	}
	// Output:
	// created report
	// deleted report
}

// A worker takes what is ready, as many of them as there are, and waits when there is
// nothing.
func ExampleClient_Claim() {
	defer runDaemon()()
	ctx := context.Background()
	c, err := client.Dial(ctx, url, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Create(ctx, schema.Draft{Title: "Write the report"}); err != nil {
		log.Fatal(err)
	}

	claim, err := c.Claim(ctx, schema.ClaimParams{AssignedTo: "worker 1", WaitMS: new(int64(10_000))})
	if err != nil || claim == nil {
		log.Fatal("nothing to do: ", err)
	}
	task, err := c.Update(ctx, schema.UpdateParams{
		ID:         claim.Task.ID,
		Patch:      schema.Patch{Status: schema.Some(schema.Done)},
		LeaseToken: &claim.LeaseToken,
	})
	fmt.Println(task.Title, "is", task.Status, err)
	// Output: Write the report is done <nil>
}

// A window that always shows what is to be done.
func ExampleClient_View() {
	defer runDaemon()()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.Dial(ctx, url, client.Options{Reconnect: true})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	drawn := make(chan string)
	view, err := c.View(ctx, client.ViewOptions{
		Filter: schema.Filter{Status: []schema.Status{schema.Todo}},
		Changed: func(change client.Change) {
			switch {
			case change.Before == nil:
				drawn <- "add " + change.After.Title
			case change.After == nil:
				drawn <- "take out " + change.Before.Title
			default:
				drawn <- "draw again " + change.After.Title
			}
		},
	})
	if err == nil {
		err = view.Wait(ctx)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(view.State(), "with", view.Len(), "tasks")

	if _, err := c.Create(ctx, schema.Draft{ID: "report", Title: "Write the report"}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-drawn)
	fmt.Println("to do:", view.Get("report").Title)
	if _, err := c.Update(ctx, schema.UpdateParams{ID: "report", Patch: schema.Patch{Status: schema.Some(schema.Done)}}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-drawn)
	fmt.Println("to do:", view.Len())
	// Output:
	// live with 0 tasks
	// add Write the report
	// to do: Write the report
	// take out Write the report
	// to do: 0
}
