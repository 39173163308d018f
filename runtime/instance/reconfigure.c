/* SPDX-License-Identifier: MIT
 *
 * The config at a reload: what can change without a restart does, and what can't is said. Timeouts and the limits of
 * scripts reach the routes because the loader compiles them in. */
#include "instance/instance.h"
#include "instance/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTE_SIZE = 1024 };

static bool is_equal(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

static void note_text(struct value *notes, const char *setting, const char *now, const char *wanted) {
  char text[NOTE_SIZE];
  if (is_equal(now, wanted))
    return;
  snprintf(text, sizeof text, "%s is %s until the next start; the config says %s", setting, now ? now : "not set",
           wanted ? wanted : "nothing");
  value_set_string(notes, NULL, text);
}

static void note_number(struct value *notes, const char *setting, unsigned long now, unsigned long wanted) {
  char before[32], after[32];
  snprintf(before, sizeof before, "%lu", now);
  snprintf(after, sizeof after, "%lu", wanted);
  note_text(notes, setting, before, after);
}

static void swap_strings(char **a, char **b) {
  char *kept = *a;
  *a = *b;
  *b = kept;
}

/* What the schema has to say of the config, and which files are compiled. */
static void swap_lists(struct config *a, struct config *b) {
  struct fault_list warnings = a->warnings;
  char **files = a->jit_files;
  size_t count = a->jit_file_count;
  a->warnings = b->warnings;
  a->jit_files = b->jit_files;
  a->jit_file_count = b->jit_file_count;
  b->warnings = warnings;
  b->jit_files = files;
  b->jit_file_count = count;
}

static bool same_sockets(const struct worker_settings *a, const struct worker_settings *b) {
  const struct tcp_options *now = &a->tcp, *next = &b->tcp;
  return now->no_delay == next->no_delay && now->keep_alive == next->keep_alive &&
         now->probe_after_s == next->probe_after_s && now->probe_interval_s == next->probe_interval_s &&
         now->probes == next->probes && now->unacknowledged_ms == next->unacknowledged_ms;
}

/* What is known is each worker's share. */
static bool same_pipes(const struct config *a, const struct config *b) {
  return a->workers != b->workers || a->settings.splice_pipes == b->settings.splice_pipes;
}

static bool same_names(const struct resolver_options *a, const struct resolver_options *b) {
  return is_equal(a->servers, b->servers) && a->timeout_ms == b->timeout_ms && a->tries == b->tries &&
         a->cache_entries == b->cache_entries;
}

/* False without memory. */
static bool keep_text(char **next, const char *now) {
  char *copy = now ? strdup(now) : NULL;
  if (now && !copy)
    return false;
  free(*next);
  *next = copy;
  return true;
}

/* What this round loads by is what the notes say: the directories of now. */
static bool keep_directories(const struct config *current, struct config *next) {
  return keep_text(&next->routes, current->routes) && keep_text(&next->state, current->state);
}

struct value *reconfigure_prepare(const struct config *current, struct config *next) {
  struct value *notes = value_table();
  if (!notes)
    return NULL;
  note_number(notes, "workers", current->workers, next->workers);
  note_text(notes, "routes", current->routes, next->routes);
  note_text(notes, "control", current->control, next->control);
  note_text(notes, "state", current->state, next->state);
  note_text(notes, "user", current->user, next->user);
  note_text(notes, "group", current->group, next->group);
  note_number(notes, "limits.addresses", current->limit_addresses, next->limit_addresses);
  note_text(notes, "admin.listen", current->admin_listen, next->admin_listen);
  if (!same_sockets(&current->settings, &next->settings))
    value_set_string(notes, NULL, "tcp stays as it is until the next start");
  if (!same_pipes(current, next))
    value_set_string(notes, NULL, "limits.splice_pipes stays as it is until the next start");
  if (!same_names(&current->settings.dns, &next->settings.dns))
    value_set_string(notes, NULL, "dns stays as it is until the next start");
  if (keep_directories(current, next))
    return notes;
  value_free(notes);
  return NULL;
}

/* The threads read config.settings, and what it points to, while they run: it stays in its place, and only what the
 * loader and the control thread use is taken. */
void reconfigure(struct instance *instance, struct config *next) {
  struct config *current = &instance->config;
  current->hash = next->hash;
  swap_strings(&current->admin_token, &next->admin_token);
  swap_strings(&current->admin_hosts, &next->admin_hosts);
  current->admin_write = next->admin_write;
  current->admin_public_metrics = next->admin_public_metrics;
  current->log_level = next->log_level;
  current->log_format = next->log_format;
  current->timeouts = next->timeouts;
  signals_set_patience(instance->signals, current->timeouts.shutdown);
  current->keep_alive = next->keep_alive;
  current->proxy_send = next->proxy_send;
  struct policy *policy = current->policy;
  current->policy = next->policy;
  next->policy = policy;
  current->old_versions = next->old_versions;
  current->load_time_ms = instance->loading.bound_ms = next->load_time_ms;
  current->diagnose = next->diagnose;
  current->settings.script_time_ms = next->settings.script_time_ms;
  current->settings.script_memory = next->settings.script_memory;
  current->shared = next->shared;
  current->timers = next->timers;
  current->open_files = next->open_files;
  current->log_lines = next->log_lines;
  swap_strings(&current->defaults, &next->defaults);
  swap_lists(current, next);
  instance->runtime->log.level = current->log_level;
  instance->runtime->log.format = current->log_format;
}
