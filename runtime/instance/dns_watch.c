/* SPDX-License-Identifier: MIT
 *
 * A timer, and a job of the loader thread's at a time. */
#include "instance/dns_watch.h"

#include "core/blocking.h"
#include "instance/instance.h"
#include "instance/runtime.h"
#include "names/resolve.h"

#include <stdlib.h>

enum { LOOK_EVERY_MS = 2000 };

/* The loader thread's while it is done. */
struct dns_look {
  struct loading_job job;
  struct dns_watch *watch; /* the control thread's; NULL: nobody waits for it any more */
  struct loader *loader;
  struct blocking *blocking; /* of the thread that does it; a reference */
  struct dns_files *files;   /* as they were; a reference */
  struct dns_files *changed; /* a reference; NULL: they have not */
};

static struct dns_look *dns_look_of(struct loading_job *job) {
  return (struct dns_look *)(void *)((char *)job - offsetof(struct dns_look, job));
}

static void drop_dns_look(struct loading_job *job) {
  struct dns_look *look = dns_look_of(job);
  blocking_unref(look->blocking);
  dns_files_unref(look->files);
  dns_files_unref(look->changed);
  free(look);
}

/* On the loader thread. */
static void run_dns_look(struct loading_job *job) {
  struct dns_look *look = dns_look_of(job);
  struct blocking *blocking = loader_turn_from(look->loader, "/etc/resolv.conf, /etc/hosts");
  look->blocking = blocking ? blocking_ref(blocking) : NULL;
  blocking_begin(look->blocking);
  look->changed = dns_files_renew(look->files);
  blocking_end(look->blocking);
}

/* The watch that waits for it, which looks again after a while; NULL: it has been stopped. */
static struct dns_watch *end_dns_look(struct dns_look *look) {
  struct dns_watch *watch = look->watch;
  look->watch = NULL;
  if (!watch)
    return NULL;
  watch->look = NULL;
  loop_set_timer(&watch->instance->runtime->loop, &watch->timer, LOOK_EVERY_MS);
  return watch;
}

static void on_dns_looked(struct loading_job *job) {
  struct dns_look *look = dns_look_of(job);
  struct dns_watch *watch = end_dns_look(look);
  if (watch && look->changed) {
    struct instance *instance = watch->instance;
    host_table_set_files(resolver_table(instance->runtime->resolver), look->changed);
    if (host_table_set_files(instance->hosts, look->changed))
      LOG(instance->log, LOG_INFO, "resolv.conf or the hosts file has changed, and holds as it is now",
          LOG_STRING("nameservers", dns_files_servers(look->changed)));
  }
  drop_dns_look(job);
}

static void on_dns_look_lost(struct loading_job *job, enum loader_loss loss, const char *message) {
  struct dns_look *look = dns_look_of(job);
  struct dns_watch *watch = end_dns_look(look);
  (void)loss;
  if (!watch)
    return;
  LOG(watch->instance->log, LOG_WARN, "resolv.conf or the hosts file can't be looked at; what they said holds",
      LOG_STRING("error", message));
  blocking_unref(watch->lost);
  watch->lost = blocking_ref(look->blocking);
}

static bool on_dns_look_refused(struct loading_job *job, const char *message) {
  (void)message;
  end_dns_look(dns_look_of(job));
  drop_dns_look(job);
  return true;
}

static void on_dns_look_due(struct wheel_timer *timer) {
  struct dns_watch *watch = (struct dns_watch *)(void *)((char *)timer - offsetof(struct dns_watch, timer));
  struct instance *instance = watch->instance;
  bool is_lost = watch->lost && blocking_is_lost(watch->lost);
  struct dns_look *look = is_lost ? NULL : calloc(1, sizeof *look);
  if (!look) {
    loop_set_timer(&instance->runtime->loop, &watch->timer, LOOK_EVERY_MS);
    return;
  }
  uint64_t serial;
  look->job = (struct loading_job){.run = run_dns_look,
                                   .on_done = on_dns_looked,
                                   .on_lost = on_dns_look_lost,
                                   .on_refused = on_dns_look_refused,
                                   .drop = drop_dns_look};
  look->watch = watch;
  look->loader = instance->loader;
  look->files = host_table_files(instance->hosts, &serial);
  watch->look = look;
  loading_post(&instance->loading, &look->job);
}

void dns_watch_start(struct instance *instance) {
  struct dns_watch *watch = instance->dns_watch;
  *watch = (struct dns_watch){.instance = instance, .timer.on_expired = on_dns_look_due};
  if (instance->loading.control) /* a spec's has no thread that could look */
    loop_set_timer(&instance->runtime->loop, &watch->timer, LOOK_EVERY_MS);
}

void dns_watch_stop(struct dns_watch *watch) {
  if (!watch->instance)
    return;
  loop_cancel_timer(&watch->instance->runtime->loop, &watch->timer);
  if (watch->look)
    watch->look->watch = NULL;
  blocking_unref(watch->lost);
  *watch = (struct dns_watch){.instance = NULL};
}
