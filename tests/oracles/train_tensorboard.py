"""TensorBoard's own reader on an event file. Argument: {"folder": path}. Answer: {tag: [[step, value], …]}."""
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(json.loads(sys.argv[1])["folder"])
events.Reload()
scalars = events.Tags()["scalars"]
print(json.dumps({tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in scalars}))
