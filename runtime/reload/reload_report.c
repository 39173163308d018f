/* SPDX-License-Identifier: MIT
 *
 * What a round of reloading says: to who asked, to the log, to the scripts. */
#include "instance/instance.h"
#include "instance/runtime.h"
#include "reload/reload_private.h"
#include "script/worker_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_SIZE = 512 };

/* What this round loaded: it is the instance's once it is live. */
static const struct loaded_routes *loaded_of(const struct reload *reload) {
  return reload->phase == RELOAD_STORING ? &reload->instance->loaded : &reload->loaded;
}

/* The files of which something else is live than before. */
static size_t list_changed(const struct loaded_routes *loaded, const char **names, size_t room) {
  size_t count = 0;
  for (size_t i = 0; i < loaded->file_count && count < room; i++)
    if (!loaded->files[i].same && !loaded->files[i].inherits && loaded->files[i].ok)
      names[count++] = loaded->files[i].file;
  return count;
}

enum { LISTED_MOST = 64 };

/* For who has put or deleted a file: about that one alone. */
static struct value *answer_file(const struct reload *reload, const struct reload_waiter *waiter) {
  const struct loaded_routes *loaded = loaded_of(reload);
  struct value *root = value_table();
  bool is_live = reload->phase == RELOAD_STORING;
  const char *path = NULL;
  struct value *warnings = value_set_table(root, "warnings");
  for (size_t i = 0; i < loaded->file_count; i++) {
    if (strcmp(loaded->files[i].file, waiter->file) != 0)
      continue;
    path = loaded->files[i].path;
    report_faults(warnings, &loaded->files[i].warnings, NULL);
    is_live &= loaded->files[i].ok;
  }
  value_set_number(root, "status", is_live ? waiter->file_status : 409);
  value_set_number(root, "generation", (double)reload->instance->table->generation);
  struct value *faults = value_set_table(root, "faults");
  if (path)
    report_faults(faults, &loaded->faults, path);
  if (!is_live)
    value_set_string(root, "message", "the file is in its place, and not live");
  return root;
}

struct value *reload_refusal(const struct reload_waiter *waiter, const char *why) {
  struct value *root = value_table();
  if (waiter->file_status) {
    value_set_number(root, "status", 409);
    value_set_number(root, "generation", 0);
    value_set_table(root, "faults");
    value_set_string(root, "message", why);
    return root;
  }
  value_set_number(root, "status", 503);
  value_set_boolean(root, "ok", false);
  value_set_boolean(root, "config_changed", false);
  value_set_number(root, "generation", 0);
  value_set_table(root, "changed");
  value_set_table(root, "removed");
  value_set_table(root, "warnings");
  value_set_table(root, "notes");
  struct value *fault = value_set_table(value_set_table(root, "faults"), NULL);
  value_set_string(fault, "message", why);
  return root;
}

static void add_strings(struct value *list, const struct value *from) {
  for (const struct value *child = from ? from->first : NULL; child; child = child->next)
    value_set_string(list, NULL, child->string);
}

/* Of all files, though a round before may have told them to the log alone; then what is new and no file's. */
static void report_warnings(struct value *list, const struct loaded_routes *loaded) {
  struct fault_list all = {0};
  int status = 0;
  for (size_t i = 0; i < loaded->file_count && status == 0; i++)
    status = fault_list_append(&all, &loaded->files[i].warnings);
  struct fault_index *earlier = fault_index_by_content(&all);
  report_faults(list, &all, NULL);
  for (size_t i = 0; i < loaded->warnings.count; i++)
    if (!earlier || !fault_index_has(earlier, &loaded->warnings.faults[i], true))
      report_faults(list, &(const struct fault_list){.faults = &loaded->warnings.faults[i], .count = 1}, NULL);
  fault_index_free(earlier);
  fault_list_clear(&all);
}

struct value *reload_answer(const struct reload *reload, const struct reload_waiter *waiter) {
  if (waiter->file_status)
    return answer_file(reload, waiter);
  const struct instance *instance = reload->instance;
  const struct loaded_routes *loaded = loaded_of(reload);
  const char *names[LISTED_MOST];
  bool taken = reload->phase == RELOAD_STORING;
  struct value *root = value_table();
  value_set_boolean(root, "ok", taken && loaded->faults.count == 0 && reload->config_faults.count == 0);
  value_set_number(root, "generation", (double)instance->table->generation);
  value_set_number(root, "ms", (double)(clock_ns(&instance->runtime->clock) - reload->began_ns) / 1e6);
  value_set_boolean(root, "config_changed", taken && reload->config_changed);
  struct value *changed = value_set_table(root, "changed"), *removed = value_set_table(root, "removed");
  for (size_t i = 0, count = taken ? list_changed(loaded, names, LISTED_MOST) : 0; i < count; i++)
    value_set_string(changed, NULL, names[i]);
  for (size_t i = 0; taken && i < loaded->gone_count && i < LISTED_MOST; i++)
    value_set_string(removed, NULL, loaded->gone[i]);
  struct value *faults = value_set_table(root, "faults");
  report_faults(faults, &reload->config_faults, NULL);
  report_faults(faults, &loaded->faults, NULL);
  if (!taken && loaded->faults.count + reload->config_faults.count == 0)
    report_fault(faults, "", 0, "", "", "what was live stays live; the log says why");
  struct value *warnings = value_set_table(root, "warnings");
  if (reload->has_config)
    report_faults(warnings, &reload->config.warnings, NULL);
  report_warnings(warnings, loaded);
  add_strings(value_set_table(root, "notes"), reload->notes);
  return root;
}

void reload_log_faults(const struct reload *reload) {
  const struct log *log = &reload->instance->runtime->log;
  struct fault_index *known = fault_index_by_content(&reload->instance->loaded.faults);
  instance_log_faults(log, LOG_ERROR, "a fault in the config: it stays as it was", &reload->config_faults);
  if (reload->status != 0 && reload->loaded.faults.count == 0)
    LOG(log, LOG_ERROR, "the routes can't be loaded; what was live stays",
        LOG_STRING("error", strerror(-reload->status)));
  for (size_t i = 0; i < reload->loaded.faults.count; i++) {
    const struct fault *fault = &reload->loaded.faults.faults[i];
    if (!known || !fault_index_has(known, fault, false))
      instance_log_route_fault(log, &reload->loaded, fault);
  }
  fault_index_free(known);
  instance_log_faults(log, LOG_WARN, "the routes: take note", &reload->loaded.warnings);
  for (const struct value *note = reload->notes ? reload->notes->first : NULL; note; note = note->next)
    LOG(log, LOG_WARN, "the config: a restart is needed", LOG_STRING("setting", note->string));
}

static void clear_waiting(struct config_standing *standing) {
  for (size_t i = 0; i < standing->waiting_count; i++)
    free(standing->waiting[i]);
  free(standing->waiting);
  standing->waiting = NULL;
  standing->waiting_count = 0;
}

void reload_clear_standing(struct reload *reload) {
  fault_list_clear(&reload->standing.faults);
  clear_waiting(&reload->standing);
}

/* What there is no memory for is left out. */
static void keep_waiting(struct config_standing *standing, const struct value *notes) {
  size_t count = 0;
  for (const struct value *note = notes->first; note; note = note->next)
    count++;
  clear_waiting(standing);
  standing->waiting = calloc(count + 1, sizeof *standing->waiting);
  for (const struct value *note = notes->first; note && standing->waiting; note = note->next)
    if ((standing->waiting[standing->waiting_count] = strdup(note->string)))
      standing->waiting_count++;
}

void reload_keep_standing(struct reload *reload) {
  struct config_standing *standing = &reload->standing;
  const struct log *log = &reload->instance->runtime->log;
  if (!reload->with_config || (!reload->has_config && reload->config_faults.count == 0))
    return;
  if (standing->faults.count > 0 && reload->config_faults.count == 0)
    LOG(log, LOG_INFO, "the config is well again", LOG_STRING("file", standing->faults.faults[0].file));
  fault_list_clear(&standing->faults);
  fault_list_append(&standing->faults, &reload->config_faults);
  if (reload->notes)
    keep_waiting(standing, reload->notes);
}

void reload_log_recovered(const struct reload *reload) {
  const struct loaded_routes *before = &reload->instance->loaded, *now = &reload->loaded;
  for (size_t i = 0; i < before->file_count; i++) {
    const struct loaded_file *file = &before->files[i];
    size_t at = file->ok ? now->file_count : loaded_routes_find(now, file->file);
    if (at < now->file_count && now->files[at].ok)
      LOG(&reload->instance->runtime->log, LOG_INFO, "a route file is well again", LOG_STRING("file", file->file),
          LOG_INTEGER("version", now->files[at].version_number), LOG_INTEGER("routes", now->files[at].route_count));
  }
}

static void join_names(const char *const *names, size_t count, char text[NAMES_SIZE]) {
  size_t length = 0;
  text[0] = '\0';
  for (size_t i = 0; i < count; i++) {
    int more = snprintf(text + length, NAMES_SIZE - length, "%s%s", i ? "," : "", names[i]);
    if (more < 0 || (size_t)more >= NAMES_SIZE - length) {
      if (length + 4 < NAMES_SIZE)
        memcpy(text + length, ",…", sizeof ",…");
      else
        text[length] = '\0';
      return;
    }
    length += (size_t)more;
  }
}

void reload_log_swap(const struct reload *reload) {
  const struct instance *instance = reload->instance;
  const char *names[LISTED_MOST];
  char changed[NAMES_SIZE], removed[NAMES_SIZE];
  join_names(names, list_changed(&reload->loaded, names, LISTED_MOST), changed);
  join_names((const char *const *)reload->loaded.gone, reload->loaded.gone_count, removed);
  LOG(&instance->runtime->log, LOG_INFO, "live", LOG_INTEGER("generation", instance->table->generation),
      LOG_STRING("changed", changed[0] ? changed : NULL), LOG_STRING("removed", removed[0] ? removed : NULL),
      LOG_STRING("config", reload->config_changed ? "changed" : NULL),
      LOG_INTEGER("routes", instance->table->route_count), LOG_NUMBER("seconds", reload->totals.last_seconds),
      LOG_INTEGER("connections_on_old_versions", reload->swap.old_connections),
      LOG_INTEGER("old_versions", reload->instance->old.count));
}

/* News on their way to a worker. */
struct announcement {
  struct message message;
  uint64_t generation;
  size_t changed_count, removed_count;
  char *names[]; /* changed, then removed */
};

static void on_announce(struct message *message, void *receiver) {
  struct announcement *announcement = (struct announcement *)(void *)message;
  struct worker *worker = receiver;
  const struct reload_news news = {
      .generation = announcement->generation,
      .changed = (const char *const *)announcement->names,
      .changed_count = announcement->changed_count,
      .removed = (const char *const *)announcement->names + announcement->changed_count,
      .removed_count = announcement->removed_count,
  };
  if (!worker->draining)
    script_worker_announce(worker, &news);
  for (size_t i = 0; i < announcement->changed_count + announcement->removed_count; i++)
    free(announcement->names[i]);
  free(announcement);
}

/* A name that there is no memory for is left out. */
static size_t copy_names(char **to, const char *const *from, size_t count) {
  size_t copied = 0;
  for (size_t i = 0; i < count; i++)
    if ((to[copied] = strdup(from[i])))
      copied++;
  return copied;
}

void reload_announce(const struct reload *reload, struct worker *worker) {
  const char *changed[LISTED_MOST];
  const struct loaded_routes *loaded = loaded_of(reload);
  size_t changed_count = list_changed(loaded, changed, LISTED_MOST);
  size_t removed_count = loaded->gone_count < LISTED_MOST ? loaded->gone_count : LISTED_MOST;
  struct announcement *announcement =
      calloc(1, sizeof *announcement + (changed_count + removed_count) * sizeof(char *));
  if (!announcement)
    return;
  announcement->message.deliver = on_announce;
  announcement->generation = reload->instance->table->generation;
  announcement->changed_count = copy_names(announcement->names, changed, changed_count);
  announcement->removed_count =
      copy_names(announcement->names + announcement->changed_count, (const char *const *)loaded->gone, removed_count);
  if (mailbox_post(&worker->loop.mailbox, &announcement->message))
    return;
  for (size_t i = 0; i < announcement->changed_count + announcement->removed_count; i++)
    free(announcement->names[i]);
  free(announcement);
}
