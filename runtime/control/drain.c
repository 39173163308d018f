/* SPDX-License-Identifier: MIT
 *
 * The end that is begun in good order, by a signal or by who asks over the API: nothing new, connections may finish,
 * and who has asked is told how it went. Stopping itself is life.c's. */
#include "control/drain.h"

#include "instance/runtime.h"

#include <stdlib.h>

struct drain_waiter {
  struct list_node node; /* in instance->drain_waiters */
  struct native_call *call;
};

/* The workers end what is left at the time that they were told. This is for one that hangs, and for a time that was cut
 * short. */
static void on_drain_patience_over(struct wheel_timer *timer) {
  struct instance *instance = (struct instance *)(void *)((char *)timer - offsetof(struct instance, patience));
  instance->stop(instance);
}

void instance_drain(struct instance *instance, uint64_t ms, const char *by) {
  clock_ms now = clock_now(&instance->runtime->clock);
  instance->phase = INSTANCE_DRAINING;
  instance->drain_began = now;
  instance->drain_until = now + ms;
  instance->patience.on_expired = on_drain_patience_over;
  loop_set_timer(&instance->runtime->loop, &instance->patience, ms + INSTANCE_DRAIN_GRACE_MS);
  LOG(instance->log, LOG_INFO, "stopping: connections may finish", LOG_NUMBER("seconds", (double)ms / 1000),
      LOG_STRING("by", by));
  threads_drain(&instance->threads, ms);
  if (instance->plane)
    plane_stop(instance->plane, ms);
}

/* Whatever hangs then, and this thread too. */
static void end_within(struct instance *instance, uint64_t ms) {
  if (instance->signals)
    signals_end_within(instance->signals, ms + SIGNALS_END_MS);
}

static void hurry(struct instance *instance, uint64_t ms) {
  clock_ms until = clock_now(&instance->runtime->clock) + ms;
  if (until >= instance->drain_until)
    return;
  instance->drain_until = until;
  loop_set_timer(&instance->runtime->loop, &instance->patience, ms);
  if (instance->plane)
    plane_stop(instance->plane, ms);
  end_within(instance, ms);
}

static void drain_refuse(struct native_call *call, const char *why) {
  struct value *root = value_table();
  value_set_number(root, "status", 503);
  value_set_string(root, "error", why);
  native_call_answer(call, root);
}

void instance_drain_for(struct instance *instance, int64_t ms, struct native_call *call) {
  if (instance->phase == INSTANCE_STARTING || instance->drain_is_answered) {
    drain_refuse(call, instance->drain_is_answered ? "moongate is stopping" : "moongate is starting");
    return;
  }
  struct drain_waiter *waiter = calloc(1, sizeof *waiter);
  if (!waiter) {
    drain_refuse(call, "not enough memory");
    return;
  }
  waiter->call = call;
  list_add_tail(&instance->drain_waiters, &waiter->node);
  if (instance->phase == INSTANCE_READY) {
    uint64_t patience = ms < 0 ? instance->config.timeouts.shutdown : (uint64_t)ms;
    end_within(instance, patience);
    instance_drain(instance, patience, "drain");
  } else if (instance->phase == INSTANCE_DRAINING && ms >= 0)
    hurry(instance, (uint64_t)ms);
}

size_t instance_count_cut(const struct instance *instance) {
  size_t cut = 0;
  for (size_t i = 0; i < instance->threads.count; i++)
    cut += instance->threads.threads[i]->worker.cut;
  return cut;
}

void instance_tell_drained(struct instance *instance) {
  clock_ms now = clock_now(&instance->runtime->clock);
  instance->drain_is_answered = true;
  LIST_FOREACH(node, &instance->drain_waiters) {
    struct drain_waiter *waiter = LIST_OWNER(node, struct drain_waiter, node);
    struct value *root = value_table();
    value_set_number(root, "cut", (double)instance_count_cut(instance));
    value_set_number(root, "seconds", instance->drain_began ? (double)(now - instance->drain_began) / 1000 : 0);
    list_remove(node);
    native_call_answer(waiter->call, root);
    free(waiter);
  }
}
