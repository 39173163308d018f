/* SPDX-License-Identifier: MIT
 *
 * A step of a corridor: what it says when it is run, and what a trial (connection/trial.h) makes of it. */
#pragma once

enum step_result {
  STEP_DONE,    /* on to the next */
  STEP_WAIT,    /* connection_resume() or exchange_resume() goes on with this step */
  STEP_REFUSED, /* the step has refused the connection or exchange, and closed it */
  STEP_GONE,    /* it was closed meanwhile, for a reason of its own */
};

enum step_trial {
  STEP_UNTRIED, /* a trial ends here: it knows nothing of the step */
  STEP_SAID,    /* what it finds out is part of the question */
  STEP_GATE,    /* run; who is refused is looked at further all the same */
  STEP_TRIED,   /* run; what it refuses goes no further */
  STEP_LAST,    /* all is decided: this is what the route does */
};

struct connection;
struct exchange;

/* Rows of the corridors, which end with one without a name. */
struct connection_step {
  const char *name;
  enum step_result (*run)(struct connection *);
  enum step_trial trial;
};

struct exchange_step {
  const char *name;
  enum step_result (*run)(struct exchange *);
  enum step_trial trial;
};

extern const struct connection_step connection_corridor[];
extern const struct exchange_step exchange_corridor[];
