/* SPDX-License-Identifier: MIT
 *
 * Files that wait: what they ask for is another's, or not there yet, which passes. From time to time the loader thread
 * looks whether it can be had, by binding it and letting go again; then a round begins. */
#include "reload/reload_private.h"

#include "instance/instance.h"
#include "instance/runtime.h"
#include "net/listener.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AWAIT_MS = 250, AWAIT_MOST_MS = 5000, MESSAGE_SIZE = ERROR_MESSAGE_SIZE + 64 };

struct await_job {
  struct loading_job job;
  struct reload *reload;
  bool can_be_had; /* what one of the files waits for */
  size_t count;
  struct endpoint endpoints[];
};

static struct await_job *await_of(struct loading_job *job) {
  return (struct await_job *)(void *)((char *)job - offsetof(struct await_job, job));
}

int reload_exclude_file(struct reload *reload, struct loader *loader, const struct route *route, const char *field,
                        const char *message, const struct endpoint *awaited) {
  char whole[MESSAGE_SIZE];
  if (!awaited)
    return loader_exclude_file(loader, route->file, route->name, field, message, false);
  struct reload_awaited *grown = realloc(reload->awaited, (reload->awaited_count + 1) * sizeof *grown);
  if (!grown)
    return -ENOMEM;
  reload->awaited = grown;
  char *file = strdup(route->file);
  if (!file)
    return -ENOMEM;
  grown[reload->awaited_count++] = (struct reload_awaited){.file = file, .endpoint = *awaited};
  snprintf(whole, sizeof whole, "%s; the file waits for it, and goes live by itself", message);
  return loader_exclude_file(loader, route->file, route->name, field, whole, true);
}

void reload_forget_awaited(struct reload *reload) {
  for (size_t i = 0; i < reload->awaited_count; i++)
    free(reload->awaited[i].file);
  free(reload->awaited);
  reload->awaited = NULL;
  reload->awaited_count = 0;
}

/* Beside our own listeners: the port may be ours at another address. */
static bool await_can_bind(const struct instance *instance, const struct endpoint *endpoint) {
  bool is_ours = route_table_uses_port(instance->table, endpoint_port(endpoint));
  return (is_ours ? listener_probe_beside_own(endpoint, NULL) : listener_probe(endpoint, NULL)) == 0;
}

/* On the loader thread, which is between two rounds then. A file that needs several finds the next in its round. */
static void run_await(struct loading_job *job) {
  struct await_job *await = await_of(job);
  for (size_t i = 0; i < await->count && !await->can_be_had; i++)
    await->can_be_had = await_can_bind(await->reload->instance, &await->endpoints[i]);
}

static void drop_await(struct loading_job *job) { free(await_of(job)); }

static void on_await_done(struct loading_job *job) {
  struct reload *reload = await_of(job)->reload;
  bool can_be_had = await_of(job)->can_be_had;
  drop_await(job);
  if (can_be_had)
    reload_by_itself(reload);
  else
    reload_await(reload);
}

/* It touches no file. */
static void on_await_lost(struct loading_job *job, enum loader_loss loss, const char *message) {
  (void)job, (void)loss, (void)message;
}

static bool on_await_refused(struct loading_job *job, const char *message) {
  (void)job, (void)message;
  return false;
}

static void on_await(struct wheel_timer *timer) {
  struct reload *reload = (struct reload *)(void *)((char *)timer - offsetof(struct reload, await));
  if (reload->phase != RELOAD_IDLE)
    return; /* the end of the round sets it anew */
  struct await_job *await = calloc(1, sizeof *await + reload->awaited_count * sizeof await->endpoints[0]);
  if (!await) {
    reload_await(reload);
    return;
  }
  await->reload = reload;
  await->count = reload->awaited_count;
  for (size_t i = 0; i < await->count; i++)
    await->endpoints[i] = reload->awaited[i].endpoint;
  await->job = (struct loading_job){.run = run_await,
                                    .on_done = on_await_done,
                                    .on_lost = on_await_lost,
                                    .on_refused = on_await_refused,
                                    .drop = drop_await};
  loading_post(&reload->instance->loading, &await->job);
}

void reload_await(struct reload *reload) {
  struct loop *loop = &reload->instance->runtime->loop;
  if (reload->awaited_count == 0 || reload->instance->phase > INSTANCE_READY) {
    loop_cancel_timer(loop, &reload->await);
    return;
  }
  reload->await_ms = reload->await_ms ? 2 * reload->await_ms : AWAIT_MS;
  if (reload->await_ms > AWAIT_MOST_MS)
    reload->await_ms = AWAIT_MOST_MS;
  reload->await.on_expired = on_await;
  loop_set_timer(loop, &reload->await, reload->await_ms);
}
