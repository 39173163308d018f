/* SPDX-License-Identifier: MIT
 *
 * The config at a reload: what can change without a restart does, and what can't is said. Timeouts and the limits of
 * scripts reach the routes because the loader compiles them in. */
#include "instance/instance.h"
#include "instance/runtime.h"
#include "routing/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTE_SIZE = 1024 };

/* What of the option waits. A table whose options wait together is named once: `said` has been last. */
static void note_option(struct value *notes, const struct option *option, const struct config *now,
                        const struct config *next, const char **said) {
  char text[NOTE_SIZE], before[NOTE_SIZE / 3], after[NOTE_SIZE / 3];
  if (!option->waits || option_equal(option, now, next) || (*said && strcmp(*said, option->waits) == 0))
    return;
  *said = option->waits;
  option_format(option, now, before, sizeof before);
  option_format(option, next, after, sizeof after);
  if (option->waits_whole)
    snprintf(text, sizeof text, "%s stays as it is until the next start", option->waits);
  else
    snprintf(text, sizeof text, "%s is %s until the next start; the config says %s", option->waits,
             before[0] ? before : "not set", after[0] ? after : "nothing");
  value_set_string(notes, NULL, text);
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
  const char *said = NULL;
  for (size_t i = 0; i < config_options.count; i++)
    note_option(notes, &config_options.options[i], current, next, &said);
  if (keep_directories(current, next))
    return notes;
  value_free(notes);
  return NULL;
}

/* The threads read config.settings, and what it points to, while they run: of that only what is the loader's changes.
 */
void reconfigure(struct instance *instance, struct config *next) {
  struct config *config = &instance->config;
  config_take(config, next);
  signals_set_patience(instance->signals, config->timeouts.shutdown);
  instance->loading.bound_ms = config->limits.load_time_ms;
  instance->runtime->log.level = config->log.level;
  instance->runtime->log.format = config->log.format;
}
