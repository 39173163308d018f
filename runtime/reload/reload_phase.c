/* SPDX-License-Identifier: MIT
 *
 * Which phase a reload is in, and who is told when one lasts: each waits for another thread, which may hang in a call
 * that nothing can stop. The reload goes on when that thread does; until then somebody has to know. */
#include "instance/instance.h"
#include "instance/runtime.h"
#include "reload/reload_private.h"

#include <stddef.h>
#include <stdio.h>

enum {
  LONG_MS = 10 * 1000,     /* a phase that lasts for longer is told … */
  SWAP_LONG_MS = 2 * 1000, /* … a swap, which only asks the workers, earlier … */
  AGAIN_MS = 60 * 1000,    /* … and so often again */
  HELD_MS = 30 * 1000,     /* a swap that waits for a worker or an engine is waited for so long, by who asked for it */
  RELOAD_AWAITED_SIZE = 64
};

const char *reload_phase_name(enum reload_phase phase) {
  static const char *const names[] = {
      [RELOAD_IDLE] = "idle",
      [RELOAD_LOADING] = "loading",
      [RELOAD_SWAPPING] = "swapping",
      [RELOAD_STORING] = "storing",
  };
  _Static_assert(sizeof names / sizeof names[0] == RELOAD_PHASE_COUNT, "a name for each phase");
  return names[phase];
}

uint64_t reload_phase_ms(const struct reload *reload) {
  if (reload->phase == RELOAD_IDLE)
    return 0;
  return clock_now(&reload->instance->runtime->clock) - reload->phase_began;
}

/* Whom a swap waits for. */
static bool reload_awaits(const struct reload *reload, char who[RELOAD_AWAITED_SIZE]) {
  unsigned worker = reload->phase == RELOAD_SWAPPING ? swap_awaited_worker(&reload->swap) : 0;
  const char *engine = reload->phase == RELOAD_SWAPPING ? swap_awaited_engine(&reload->swap) : NULL;
  if (engine)
    snprintf(who, RELOAD_AWAITED_SIZE, "the engine \"%s\"", engine);
  else if (worker > 0)
    snprintf(who, RELOAD_AWAITED_SIZE, "worker %u", worker);
  return engine || worker > 0;
}

bool reload_is_overdue(const struct reload *reload, char why[RELOAD_OVERDUE_SIZE]) {
  char who[RELOAD_AWAITED_SIZE];
  if (!reload_awaits(reload, who) || reload_phase_ms(reload) < HELD_MS)
    return false;
  snprintf(why, RELOAD_OVERDUE_SIZE, "not live yet: %s does not answer; what is in the files goes live when it goes on",
           who);
  return true;
}

/* When the next look is due: those who wait are answered in time, whatever the log has said. */
static uint64_t next_phase_look(const struct reload *reload) {
  uint64_t lasted = reload_phase_ms(reload);
  return reload->phase == RELOAD_SWAPPING && lasted < HELD_MS ? HELD_MS - lasted : AGAIN_MS;
}

static void on_long(struct wheel_timer *timer) {
  struct reload *reload = (struct reload *)(void *)((char *)timer - offsetof(struct reload, patience));
  struct runtime *runtime = reload->instance->runtime;
  double seconds = (double)reload_phase_ms(reload) / 1000;
  unsigned worker = reload->phase == RELOAD_SWAPPING ? swap_awaited_worker(&reload->swap) : 0;
  const char *engine = reload->phase == RELOAD_SWAPPING ? swap_awaited_engine(&reload->swap) : NULL;
  if (engine)
    LOG(&runtime->log, LOG_WARN, "a reload waits for an engine that does not answer; what was live stays until it does",
        LOG_NUMBER("seconds", seconds), LOG_STRING("engine", engine));
  else if (worker > 0)
    LOG(&runtime->log, LOG_WARN, "a reload waits for a worker that does not answer; what was live stays until it does",
        LOG_STRING("phase", reload_phase_name(reload->phase)), LOG_NUMBER("seconds", seconds),
        LOG_INTEGER("worker", worker));
  else
    LOG(&runtime->log, LOG_WARN, "a reload takes long; what comes meanwhile waits for its end",
        LOG_STRING("phase", reload_phase_name(reload->phase)), LOG_NUMBER("seconds", seconds));
  loop_set_timer(&runtime->loop, &reload->patience, next_phase_look(reload));
  char why[RELOAD_OVERDUE_SIZE];
  if (reload_is_overdue(reload, why))
    reload_refuse_all(reload, why);
}

void reload_enter(struct reload *reload, enum reload_phase phase) {
  struct runtime *runtime = reload->instance->runtime;
  reload->phase = phase;
  reload->phase_began = clock_now(&runtime->clock);
  reload->patience.on_expired = on_long;
  if (phase == RELOAD_IDLE)
    loop_cancel_timer(&runtime->loop, &reload->patience);
  else
    loop_set_timer(&runtime->loop, &reload->patience, phase == RELOAD_SWAPPING ? SWAP_LONG_MS : LONG_MS);
}
