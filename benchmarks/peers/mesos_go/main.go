// The least that a framework on mesos-go does, as its own examples do it: one goroutine that takes
// event after event, launches as many tasks on each offer as fit, and acknowledges each update. It
// stores nothing. It ends with its stream.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/encoding/codecs"
	"github.com/mesos/mesos-go/api/v1/lib/extras/scheduler/callrules"
	"github.com/mesos/mesos-go/api/v1/lib/extras/scheduler/controller"
	"github.com/mesos/mesos-go/api/v1/lib/httpcli"
	"github.com/mesos/mesos-go/api/v1/lib/httpcli/httpsched"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler/calls"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler/events"
)

const (
	cpusATask = 0.1
	memATask  = 32.0
	role      = "*"
)

type framework struct {
	caller   calls.Caller
	tasks    int
	launched int
}

func (f *framework) handle(ctx context.Context, event *scheduler.Event) error {
	switch event.GetType() {
	case scheduler.Event_SUBSCRIBED:
		id := event.GetSubscribed().GetFrameworkID().GetValue()
		named := callrules.WithFrameworkID(func() string { return id })
		f.caller = named.Caller(f.caller)
		return calls.CallNoData(ctx, f.caller, calls.Revive())
	case scheduler.Event_OFFERS:
		for _, offer := range event.GetOffers().GetOffers() {
			if err := f.accept(ctx, &offer); err != nil {
				return err
			}
		}
	case scheduler.Event_UPDATE:
		status := event.GetUpdate().GetStatus()
		if uuid := status.GetUUID(); len(uuid) > 0 {
			agent, task := status.GetAgentID().GetValue(), status.TaskID.Value
			return calls.CallNoData(ctx, f.caller, calls.Acknowledge(agent, task, uuid))
		}
	}
	return nil
}

func (f *framework) accept(ctx context.Context, offer *mesos.Offer) error {
	fits := f.tasks - f.launched
	for _, resource := range offer.Resources {
		switch resource.GetName() {
		case "cpus":
			fits = least(fits, resource.GetScalar().GetValue()/cpusATask)
		case "mem":
			fits = least(fits, resource.GetScalar().GetValue()/memATask)
		}
	}
	tasks := make([]mesos.TaskInfo, 0, fits)
	for ; fits > 0; fits-- {
		f.launched++
		tasks = append(tasks, task(f.launched, offer.AgentID))
	}
	operations := calls.OfferOperations{calls.OpLaunch(tasks...)}.WithOffers(offer.ID)
	return calls.CallNoData(ctx, f.caller, calls.Accept(operations).With(calls.RefuseSeconds(time.Hour)))
}

func least(tasks int, room float64) int {
	if fits := int(room + 1e-6); fits < tasks {
		return fits
	}
	return tasks
}

func task(number int, agent mesos.AgentID) mesos.TaskInfo {
	shell, command := true, "sleep 1000"
	return mesos.TaskInfo{
		Name:      "load",
		TaskID:    mesos.TaskID{Value: fmt.Sprintf("load.%d", number)},
		AgentID:   agent,
		Command:   &mesos.CommandInfo{Shell: &shell, Value: &command},
		Resources: []mesos.Resource{scalar("cpus", cpusATask), scalar("mem", memATask)},
	}
}

func scalar(name string, value float64) mesos.Resource {
	kind, allocated := mesos.SCALAR, role
	return mesos.Resource{
		Name:           name,
		Type:           &kind,
		Scalar:         &mesos.Value_Scalar{Value: value},
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: &allocated},
	}
}

func main() {
	master := flag.String("master", "", "http://host:port")
	tasks := flag.Int("tasks", 0, "how many to launch")
	flag.Parse()
	client := httpcli.New(
		httpcli.Endpoint(*master+"/api/v1/scheduler"),
		httpcli.Codec(codecs.ByMediaType[codecs.MediaTypeProtobuf]),
	)
	peer := &framework{caller: httpsched.NewCaller(client), tasks: *tasks}
	once := make(chan struct{}, 1)
	once <- struct{}{}
	close(once)
	err := controller.Run(
		context.Background(),
		&mesos.FrameworkInfo{User: "nobody", Name: "mesos-go", Roles: []string{role}},
		peer.caller,
		controller.WithRegistrationTokens(once),
		controller.WithEventHandler(events.HandlerFunc(peer.handle)),
	)
	log.Fatalf("the stream ended: %v", err)
}
