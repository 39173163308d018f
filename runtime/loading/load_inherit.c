/* SPDX-License-Identifier: MIT
 *
 * A file that says what it said, while the config says something else to it: its routes are made anew, for they take
 * timeouts and the like from the config, and its functions stay, since they can't see that: the states that are live
 * have the same functions in the same places. It is no other version of the file. */
#include "loading/load_private.h"

#include "core/text.h"
#include "routing/balance.h"

#include <errno.h>
#include <string.h>

uint64_t load_defaults_sum(const struct config *config) {
  return config->defaults ? text_hash(config->defaults, strlen(config->defaults), 1) : 0;
}

/* 1, 0, or -ECANCELED. */
static int says_the_same(struct load_run *run, const struct file_version *before, const struct loaded_file *file,
                         const struct source *source) {
  if (!before || before->is_copy || before->state_key != load_state_key(run, file->file, file->path) ||
      before->size != source->size || memcmp(before->text, source->text, source->size) != 0)
    return 0;
  return load_modules_are_same(run, LOAD_ROUTES, file, &before->modules);
}

/* The same functions in the same slots of the same routes, as far as a run of the file can tell. */
static bool has_same_routes(const struct file_version *good, const struct file_version *before) {
  if (good->route_count != before->route_count || good->function_count != before->function_count ||
      good->functions_sum != before->functions_sum)
    return false;
  for (size_t i = 0; i < good->route_count; i++)
    if (strcmp(good->routes[i]->name, before->routes[i]->name) != 0)
      return false;
  return true;
}

/* Records that say what they said are those of before; the others are their heirs, unless what they take from the
 * config is of the route itself (`defaults`). True: all are those of before. */
static bool take_routes(struct file_version *good, const struct file_version *before) {
  bool is_heir = good->defaults_sum == before->defaults_sum, all = true;
  for (size_t i = 0; i < good->route_count; i++) {
    struct route *route = good->routes[i], *old = before->routes[i];
    if (route->digest == old->digest) {
      good->routes[i] = route_ref(old);
      route_unref(route);
      continue;
    }
    all = false;
    if (is_heir)
      route->lineage = old->lineage;
    if (route_has_functions(route))
      route->script = before->version;
    route_share_loads(route, old);
  }
  return all;
}

static void take_inherited(struct file_memory *memory, struct loaded_file *file, struct file_version *good) {
  const struct file_version *before = memory->committed;
  good->version = before->version ? script_version_ref(before->version) : NULL;
  good->number = before->number;
  good->loaded_at = before->loaded_at;
  good->stored = before->stored;
  file_failure_clear(&memory->failure);
  file->ok = file->inherits = true;
  loaded_file_serve(file, good);
}

/* It is as it was, whatever the config says. */
static void take_unchanged(struct file_memory *memory, struct loaded_file *file, uint64_t key) {
  memory->committed->key = key;
  file_failure_clear(&memory->failure);
  file->ok = file->same = true;
  loaded_file_serve(file, file_version_ref(memory->committed));
}

int load_inherit(struct load_run *run, struct file_memory *memory, struct loaded_file *file,
                 const struct source *source, uint64_t key) {
  struct file_version *good = NULL;
  struct fault_list faults = {0}, warnings = {0};
  int status = says_the_same(run, memory->committed, file, source);
  if (status <= 0)
    return status;
  status = load_file(run, file->file, source, 0, NULL, &good, NULL, &faults, &warnings);
  fault_list_clear(&faults);
  if (status == -ECANCELED || !good || !has_same_routes(good, memory->committed)) {
    if (good)
      schema_forget_version(run->loader, good->schema_id);
    file_version_unref(good);
    fault_list_clear(&warnings);
    return status == -ECANCELED ? status : 0;
  }
  if (take_routes(good, memory->committed)) {
    schema_forget_version(run->loader, good->schema_id);
    file_version_unref(good);
    fault_list_clear(&warnings);
    memory->committed->stamp = source->stamp;
    take_unchanged(memory, file, key);
    return 1;
  }
  status = fault_list_append(&run->loaded->warnings, &warnings);
  good->warnings = warnings;
  take_inherited(memory, file, good);
  return status < 0 ? status : 1;
}
