/* SPDX-License-Identifier: MIT
 *
 * Sending the beats, judging those that do not come back, and finding out where such a worker is: the script room says
 * in which function of which route and file (worker->inside), the kernel in which of its own functions. */
#include "instance/heartbeat.h"

#include "instance/instance.h"
#include "instance/runtime.h"
#include "script/version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *find_stuck_file(const struct instance *instance, const struct script_version *version) {
  const struct loaded_routes *loaded = &instance->loaded;
  for (size_t i = 0; i < loaded->file_count; i++)
    if (loaded->files[i].version == version)
      return loaded->files[i].file;
  for (size_t i = 0; i < instance->old.count; i++)
    if (instance->old.versions[i] == version)
      return version->file;
  return NULL;
}

/* The kernel's function that the thread sleeps in, "pipe_write"; "0" when it runs, or when we may not know. */
static void find_kernel_function(int thread, char name[HEARTBEAT_KERNEL_NAME_SIZE]) {
  char path[64];
  name[0] = '\0';
  snprintf(path, sizeof path, "/proc/self/task/%d/wchan", thread);
  FILE *file = thread > 0 ? fopen(path, "re") : NULL;
  if (!file)
    return;
  size_t size = fread(name, 1, HEARTBEAT_KERNEL_NAME_SIZE - 1, file);
  name[size] = '\0';
  fclose(file);
  if (strcmp(name, "0") == 0)
    name[0] = '\0';
}

static const char *find_stuck_route(const struct route_table *table, unsigned stats) {
  for (size_t i = 0; i < table->route_count; i++)
    if (table->routes[i]->stats == stats)
      return table->routes[i]->name;
  return NULL;
}

static char *copy_name(const char *text) { return text ? strdup(text) : NULL; }

/* What the worker has written down is compared only, for it may go on at any moment, and let go of it. */
static void note_place(struct heartbeat *beat) {
  const struct instance *instance = beat->owner->instance;
  const struct worker_inside *inside = &beat->worker->inside;
  const struct script_version *version = atomic_load_explicit(&inside->version, memory_order_relaxed);
  unsigned route = atomic_load_explicit(&inside->route, memory_order_relaxed);
  find_kernel_function(atomic_load_explicit(&inside->thread, memory_order_relaxed), beat->place.kernel);
  beat->place.file = version ? copy_name(find_stuck_file(instance, version)) : NULL;
  beat->place.route = version && route != METRIC_NO_ROUTE ? copy_name(find_stuck_route(instance->table, route)) : NULL;
}

static void clear_place(struct heartbeat *beat) {
  free(beat->place.route);
  free(beat->place.file);
  beat->place = (struct heartbeat_place){.route = NULL};
}

static const char *kernel_of(const struct heartbeat *beat) { return beat->place.kernel[0] ? beat->place.kernel : NULL; }

static double seconds_since(const struct heartbeat *beat) {
  return (double)(clock_now(&beat->owner->instance->runtime->clock) - beat->sent_ms) / 1000;
}

static void on_stuck(struct heartbeat *beat) {
  const struct instance *instance = beat->owner->instance;
  note_place(beat);
  beat->worker->stuck = true;
  beat->owner->stuck++;
  LOG(instance->log, LOG_ERROR, "a worker is stuck in a call that does not return: its connections wait",
      LOG_INTEGER("worker", beat->worker->number), LOG_NUMBER("seconds", seconds_since(beat)),
      LOG_STRING("route", beat->place.route), LOG_STRING("file", beat->place.file),
      LOG_STRING("kernel", kernel_of(beat)));
  takeovers_begin(&beat->owner->takeovers);
}

static void on_recovered(struct heartbeat *beat) {
  const struct instance *instance = beat->owner->instance;
  beat->worker->stuck = false;
  beat->owner->stuck--;
  clear_place(beat);
  LOG(instance->log, LOG_WARN, "a worker that was stuck goes on", LOG_INTEGER("worker", beat->worker->number),
      LOG_NUMBER("seconds", seconds_since(beat)));
  takeovers_end(&beat->owner->takeovers, beat->worker);
}

static void on_back(struct message *message, void *receiver) {
  struct heartbeat *beat = (struct heartbeat *)(void *)message;
  (void)receiver;
  beat->sent = false;
  if (beat->worker->stuck)
    on_recovered(beat);
}

/* On the worker's thread. */
static void on_beat(struct message *message, void *receiver) {
  const struct heartbeat *beat = (struct heartbeat *)(void *)message;
  (void)receiver;
  message->deliver = on_back;
  mailbox_post(&beat->owner->instance->runtime->loop.mailbox, message);
}

static void look_at_beat(struct heartbeat *beat) {
  if (beat->sent && !beat->worker->stuck && ++beat->looks >= HEARTBEAT_LOOKS)
    on_stuck(beat);
  if (beat->sent)
    return;
  beat->message.deliver = on_beat;
  beat->sent_ms = clock_now(&beat->owner->instance->runtime->clock);
  beat->looks = 0;
  beat->sent = mailbox_post(&beat->worker->loop.mailbox, &beat->message);
}

static void on_beats_due(struct wheel_timer *timer) {
  struct heartbeats *heartbeats = (struct heartbeats *)(void *)((char *)timer - offsetof(struct heartbeats, timer));
  for (size_t i = 0; i < heartbeats->count; i++)
    look_at_beat(&heartbeats->beats[i]);
  if (heartbeats->stuck > 0)
    takeovers_retry(&heartbeats->takeovers);
  loop_set_timer(&heartbeats->instance->runtime->loop, timer, HEARTBEAT_EVERY_MS);
}

int heartbeats_start(struct instance *instance) {
  struct heartbeats *heartbeats = instance->heartbeats;
  size_t count = instance->config.settings.within ? 0 : instance->threads.count;
  heartbeats->beats = calloc(count + 1, sizeof *heartbeats->beats);
  if (!heartbeats->beats)
    return -ENOMEM;
  heartbeats->instance = instance;
  heartbeats->count = count;
  heartbeats->timer.on_expired = on_beats_due;
  takeovers_init(&heartbeats->takeovers, instance);
  for (size_t i = 0; i < count; i++)
    heartbeats->beats[i] = (struct heartbeat){.owner = heartbeats, .worker = &instance->threads.threads[i]->worker};
  if (count > 0)
    on_beats_due(&heartbeats->timer);
  return 0;
}

void heartbeats_stop(struct heartbeats *heartbeats) {
  if (heartbeats->instance)
    loop_cancel_timer(&heartbeats->instance->runtime->loop, &heartbeats->timer);
}

void heartbeats_deinit(struct heartbeats *heartbeats) {
  heartbeats_stop(heartbeats);
  for (size_t i = 0; i < heartbeats->count; i++)
    clear_place(&heartbeats->beats[i]);
  free(heartbeats->beats);
  takeovers_deinit(&heartbeats->takeovers);
  *heartbeats = (struct heartbeats){.instance = NULL};
}

void heartbeats_write(const struct heartbeats *heartbeats, struct value *list) {
  for (size_t i = 0; i < heartbeats->count; i++) {
    const struct heartbeat *beat = &heartbeats->beats[i];
    if (!beat->worker->stuck)
      continue;
    struct value *entry = value_set_table(list, NULL);
    value_set_number(entry, "number", beat->worker->number);
    value_set_number(entry, "seconds", seconds_since(beat));
    value_set_string(entry, "route", beat->place.route);
    value_set_string(entry, "file", beat->place.file);
    value_set_string(entry, "kernel", kernel_of(beat));
    unsigned helper = takeovers_find(&heartbeats->takeovers, beat->worker);
    if (helper > 0)
      value_set_number(entry, "accepted_by", helper);
  }
}
