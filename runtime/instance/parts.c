/* SPDX-License-Identifier: MIT
 *
 * Parts that are at fault: what is said of them, and when they are tried again. */
#include "instance/parts.h"

#include "instance/instance.h"
#include "instance/runtime.h"

#include <stdio.h>

/* What they are in the config, and what it means that one is at fault. */
static const struct {
  const char *field, *without, *then;
} part_words[] = {
    [PART_ADMIN] = {"admin.listen", "the admin interface is not open on its port", "it is tried again by itself"},
    [PART_CONTROL] = {"control",
                      "there is no control socket: moongate reload, status and the like don't find this process",
                      "it is tried again at the next start"},
    [PART_STATE] = {"state",
                    "the state directory can't be used: last good versions of route files, and all else that is to "
                    "survive a restart, are not kept",
                    "it is tried again by itself"},
};
_Static_assert(sizeof part_words / sizeof part_words[0] == PART_COUNT, "words for each part");

static void on_part_retry(struct wheel_timer *timer) {
  struct part *part = (struct part *)(void *)((char *)timer - offsetof(struct part, retry));
  if (part->instance->phase > INSTANCE_READY)
    return;
  if (part->again)
    part->again(part->instance);
  else
    loop_set_timer(&part->instance->runtime->loop, timer, PART_PAUSE_MS);
}

/* Another file of a full disk is nothing new. */
static bool is_as_told(const struct part *part, const struct error *error) {
  return part->is_at_fault && part->error.code == error->code;
}

void part_fail(struct instance *instance, enum instance_part which, const struct error *error) {
  struct part *part = &instance->parts[which];
  if (!is_as_told(part, error))
    LOG(&instance->runtime->log, LOG_ERROR, part_words[which].without, LOG_STRING("setting", part_words[which].field),
        LOG_STRING("at", error->place[0] ? error->place : NULL), LOG_STRING("error", error->message),
        LOG_STRING("then", part_words[which].then));
  part->pause_ms = !part->is_at_fault ? PART_PAUSE_MS : 2 * part->pause_ms;
  if (part->pause_ms > PART_PAUSE_MOST_MS)
    part->pause_ms = PART_PAUSE_MOST_MS;
  part->is_at_fault = true;
  part->error = *error;
  part->instance = instance;
  part->retry.on_expired = on_part_retry;
  if (which != PART_CONTROL && instance->phase <= INSTANCE_READY)
    loop_set_timer(&instance->runtime->loop, &part->retry, part->pause_ms);
}

void part_succeed(struct instance *instance, enum instance_part which) {
  struct part *part = &instance->parts[which];
  if (!part->is_at_fault)
    return;
  part->is_at_fault = false;
  loop_cancel_timer(&instance->runtime->loop, &part->retry);
  LOG(&instance->runtime->log, LOG_INFO,
      which == PART_ADMIN ? "the admin interface is open now" : "the state directory is well again",
      LOG_STRING("setting", part_words[which].field));
}

void parts_stop(struct instance *instance) {
  for (size_t i = 0; i < PART_COUNT; i++)
    loop_cancel_timer(&instance->runtime->loop, &instance->parts[i].retry);
}

void parts_report(const struct instance *instance, struct value *list) {
  char message[2 * sizeof instance->parts[0].error.message];
  for (size_t i = 0; i < PART_COUNT; i++) {
    const struct part *part = &instance->parts[i];
    if (!part->is_at_fault)
      continue;
    snprintf(message, sizeof message, "%s: %s%s%s; %s", part_words[i].without, part->error.place,
             part->error.place[0] ? ": " : "", part->error.message, part_words[i].then);
    report_fault(list, "", 0, "", part_words[i].field, message);
  }
}
