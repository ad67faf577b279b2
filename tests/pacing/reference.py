#!/usr/bin/env python3
"""The rate controller in a second language, and the table that holds the two together.

It needs only the standard library.  After a change of the controller, write the table again:

    python3 tests/pacing/reference.py > tests/pacing/reference.csv

The test `pace::reference_tests` replays the events of the table in src/pace/ and compares every column to 1e-6.

A line is an event at a time:

    begin      initial rate, saved rate, saved burst, seconds away, 1 if the rate was given with --initial-rate
    sent
    served     time of sending
    used       share of the limit that the header reports
    throttled  announced pause or nothing, time of sending

Then follows the state after it: learned rate, searched rate, pace, burst, next write, end of the cool-down.
"""
import collections, heapq, math

SWING, RAMP, RAMP_REQUESTS, DOUBLING = .05, 45.0, 400.0, 3.5
EVENTS_BEFORE_FIRST_TEST, EVENTS_AFTER_SUCCESS, MAX_EVENTS, SAME_SHARE, ISOLATED_SHARE, SPEND_SPEED_TEST = 2, 1, 64, .05, .1, 2.0
SPEND_INITIAL, SPEND_AFTER_PAUSE, REFILL_SHARE, SHARED_REFILL_SHARE, LONG_PAUSE, OVERTAKEN = 5.0, 7.0, .8, .4, 10.0, 3
IMMEDIATE_BURST = 4.0


class RateController:
    def __init__(s, documented, rate=None, burst=None, away=0.0, configured=None):
        s.D, s.N0, s.configured = documented, documented * 150, configured
        s.R, s.search, s.low, s.spend = rate, documented, (rate or 0.0) * (1 - SWING), SPEND_INITIAL
        s.burst = s.N0 if burst is None else min(s.N0, burst + (rate or documented) * away)
        s.first_sent = s.cycle = s.event = None
        s.ramp_start = s.next = s.cooldown = s.throttled_rate = s.longest_pause = 0.0
        s.last_throttled = s.near_limit = -1e9; s.throttled_sent = 1e9; s.passed = s.throttled_n = 0
        s.served_n, s.was_idle, s.probe, s.probe_throttled = 0, False, None, False
        s.sustained, s.testing, s.events_n, s.missing_n = documented, False, EVENTS_BEFORE_FIRST_TEST, EVENTS_BEFORE_FIRST_TEST
        s.cycles, s.recent = collections.deque(maxlen=60), collections.deque()

    def sent_rate(s, now):
        return max(1.0, sum(1 for t in s.recent if t >= now - 2) / 2)

    def ramp(s): return max(RAMP, RAMP_REQUESTS / s.R)

    def base(s, now):
        if s.R is None: return s.search
        k = s.ramp(); x = (now - s.ramp_start - k) / k
        b = s.R + ((s.R - s.low) * x if x < 0 else SWING * max(s.R, math.sqrt(s.R * s.D)) * x ** 3)
        if now - s.near_limit < 2: b = min(b, s.R)
        return max(.05, min(b, 2 * max(s.sent_rate(now), s.R)))

    def pace(s, now): return s.base(now) + s.burst / s.spend

    def ready(s, now):
        """Earliest instant of the next request; None: a probe is in flight."""
        if s.event is None: return max(now, s.next)
        return None if s.probe is not None else max(now, s.cooldown)

    def sent(s, now):
        if s.first_sent is None: s.first_sent = s.ramp_start = s.next = now
        if s.event is not None: s.probe = now; return
        if now - s.next > 10: s.ramp_start, s.was_idle = now, True          # idle: no growth, not measured
        b = s.base(now); r = b + s.burst / s.spend
        s.burst = max(0.0, s.burst - (r - b) / r)
        s.next = max(s.next, now - .25) + 1 / r
        s.recent.append(now)
        while s.recent[0] < now - 2: s.recent.popleft()

    def used(s, share, now):
        if s.cycle is None: s.burst = min(s.burst, max(0.0, 1 - share) * s.N0)
        if share >= .98: s.near_limit = now

    def was_in_flight(s, sent):
        """Whether it was sent after the first throttled request of the event, before that response arrived."""
        return s.event is not None and s.throttled_sent <= sent <= s.event

    def served(s, now, sent):
        s.served_n += 1; s.passed += s.was_in_flight(sent)
        if s.event is not None:
            if sent == s.probe: s.reopened(now)
        elif s.R is None and s.burst <= s.search * s.spend and now - s.near_limit >= 2:
            s.search = min(s.search * 2 ** (1 / (s.search * DOUBLING)), 2 * max(s.sent_rate(now), .4 * s.D))

    def throttled(s, now, sent, wait):
        s.burst = 0.0
        if s.event is None and sent >= s.last_throttled:
            s.event, s.throttled_sent, s.throttled_rate = now, sent, s.sent_rate(now)
        else: s.throttled_n += s.was_in_flight(sent)
        again = s.probe is not None and sent == s.probe
        if again: s.probe, s.probe_throttled = None, True
        s.last_throttled = now
        w = wait or 0.0
        if wait is None or again: w = max(w, min(30.0, max(1.0, .5 * (now - s.event))))
        s.cooldown = max(s.cooldown, now + w)

    def reopened(s, now):
        paused = now - s.event
        if s.cycle is None and paused < max(LONG_PAUSE, .5 * (now - s.first_sent)):
            s.search = max(s.D, s.proven())
            if s.configured and s.R is None: s.R, s.low = s.search, s.search * (1 - SWING)
        elif not s.was_idle:
            since = s.first_sent if s.cycle is None else s.cycle
            if s.R is not None: s.detect(since, now)
            s.measure(paused, since, now)
        rate = s.search if s.R is None else s.R
        least = s.low if s.testing else SHARED_REFILL_SHARE * s.D if paused >= LONG_PAUSE else 0.0
        s.burst = min(s.N0, paused * max(REFILL_SHARE * rate, least))
        s.spend, s.cycle, s.served_n = SPEND_SPEED_TEST if s.testing else SPEND_AFTER_PAUSE, now, 0
        s.passed, s.throttled_n, s.was_idle, s.probe_throttled = 0, 0, False, False
        s.ramp_start = now; s.event = s.probe = None; s.next = now if s.burst >= IMMEDIATE_BURST else now + 1 / s.pace(now)

    def proven(s):
        """A lower bound of the rate: when the burst is used up, only the refill is served."""
        return s.throttled_rate * max(0, s.passed - OVERTAKEN) / max(1, s.passed + s.throttled_n)

    def pooled(s, requests, seconds):
        n = t = 0
        for a, dt in reversed(s.cycles):
            n += a; t += dt
            if n >= requests and t >= seconds: break
        return n, t

    def detect(s, since, now):
        """Decides whether the next cycle is a speed test: a quota throttles it immediately, random throttling does not."""
        n, t = s.pooled(10, 10)
        as_before = (n / t if t else s.R) * (now - since)
        isolated = not s.probe_throttled and s.throttled_n <= ISOLATED_SHARE * (s.passed + s.throttled_n)
        if s.event - s.ramp_start >= s.ramp():
            s.sustained, s.testing, s.missing_n = max(s.sustained, s.R), False, s.events_n
        elif not isolated or (s.testing and abs(s.served_n - as_before) <= max(1.0, SAME_SHARE * as_before)):
            if s.testing: s.events_n = min(MAX_EVENTS, 2 * s.events_n)
            s.testing, s.missing_n = False, s.events_n
        elif not s.testing:
            s.missing_n = max(0, s.missing_n - 1); s.testing = s.missing_n == 0
        elif s.served_n > as_before: s.events_n = EVENTS_AFTER_SUCCESS

    def measure(s, paused, since, now):
        last = s.cycles.pop() if s.cycles and s.cycles[-1][1] < 10 else (0, 0.0)
        s.cycles.append((last[0] + s.served_n, last[1] + now - since))
        s.longest_pause = max(paused, s.longest_pause * .5 ** ((now - since) / 3600))
        n, t = s.pooled(40, max(150.0, min(300.0, 2 * s.longest_pause)))
        m = max(n, 1) / t
        if (n >= 20 and t >= 1) or t >= 10:
            first = s.R is None and paused < .5 * (now - since)
            s.R = max(.05, m, s.proven() if first else 0.0)
            n, t = s.pooled(10, 10)
            recent_rate = s.R if first else n / t
            s.low = min(recent_rate, s.R * (1 - SWING))
            if s.testing: s.low = max(s.low, min(2 * recent_rate, max(s.sustained, s.R)))
        else: s.search = max(.05, s.search / 4, min(m, s.search))


class Bucket:
    def __init__(s, cap, rate): s.cap, s.rate, s.tok, s.t = cap, rate, float(cap), 0.0
    def admit(s, now):
        s.tok = min(s.cap, s.tok + (now - s.t) * s.rate(now)); s.t = now
        if s.tok >= 1: s.tok -= 1; return None
        return math.ceil((1 - s.tok) / s.rate(now))
    def share(s): return 1 - s.tok / s.cap

class Window:
    def __init__(s, quota, length): s.q, s.w, s.k, s.n = quota, length, -1, 0
    def admit(s, now):
        k = int(now // s.w)
        if k != s.k: s.k, s.n = k, 0
        s.n += 1
        return None if s.n <= s.q else math.ceil((k + 1) * s.w - now)
    def share(s): return min(1.8, s.n / s.q)

class RandomThrottling:
    """Also throttles some requests, whatever the rate, with a pause of one second."""
    def __init__(s, server, probability): s.server, s.probability, s.state = server, probability, 1
    def admit(s, now):
        s.state = s.state * 48271 % 2147483647
        return 1 if s.state < s.probability * 2147483647 else s.server.admit(now)
    def share(s): return s.server.share()


def show(controller, now):
    f = lambda v: '' if v is None else f'{v:.7f}'.rstrip('0').rstrip('.')
    return ','.join((f(controller.R), f(controller.search), f(controller.pace(now)), f(controller.burst), f(controller.next), f(controller.cooldown)))

def run(name, arguments, server, requests, header=False, announced=True, idle=None, most=8, trip=.083):
    """Prints the events of one client and the state after each.  Times are whole microseconds, and nothing is random."""
    controller = RateController(*(0.0 if a is None and i == 3 else a for i, a in enumerate(arguments))); us = lambda t: round(t, 6)
    print(f'# {name}')
    print('0,begin,' + ' '.join('' if a is None else f'{a:g}' for a in (*arguments, *(None,) * 5)[:5]) + ',' + show(controller, 0.0))
    events, now, left, flight, seq = [], 0.001, requests, 0, 0
    while left or events:
        room = flight < min(most, 4 + controller.served_n)
        at = controller.ready(now) if left and room else None
        if at is not None: at = math.ceil(at * 1e6) / 1e6           # a clock has a resolution, and is never early
        if at is not None and idle and idle[0] <= at < idle[1]: at = idle[1]
        if at is not None and (not events or at <= events[0][0]):
            now = us(max(now, at)); controller.sent(now)
            print(f'{now:.6f},sent,,' + show(controller, now))
            wait = server.admit(now); left -= 1; flight += 1; seq += 1
            heapq.heappush(events, (us(now + trip + .0131 * (seq % 7)), seq, now, wait, server.share()))
            continue
        now, _, sent, wait, share = heapq.heappop(events); flight -= 1
        if header and share >= .8:
            controller.used(share, now); print(f'{now:.6f},used,{share:.9f},' + show(controller, now))
        if wait is None:
            controller.served(now, sent); print(f'{now:.6f},served,{sent:.6f},' + show(controller, now))
        else:
            left += 1; wait = wait if announced else None
            controller.throttled(now, sent, wait)
            print(f"{now:.6f},throttled,{'' if wait is None else wait} {sent:.6f}," + show(controller, now))

if __name__ == '__main__':
    print('# time,event,argument,rate,search,pace,burst,next,cooldown')
    run('bucket with a full burst', (2.0,), Bucket(60, lambda t: 2.0), 220)
    run('bucket smaller than documented, header', (2.0,), Bucket(30, lambda t: .9), 110, header=True)
    run('window, no announced pause', (2.0,), Window(60, 40.0), 200, announced=False)
    run('window, saved rate', (2.0, 1.3, 20.0, 30.0), Window(60, 40.0), 200)
    run('quota falls, then an idle minute', (2.0, 2.0, 0.0, 0.0), Bucket(8, lambda t: 2.0 if t < 60 else .5), 150, idle=(200.0, 260.0))
    run('far above what is documented, long round trips', (2.0,), Bucket(40, lambda t: 30.0), 500, most=40, trip=.4)
    run('quota falls to a slow rate', (4.0, 4.0, 0.0, 0.0), Bucket(8, lambda t: 4.0 if t < 30 else .8), 220)
    run('almost nothing is allowed', (2.0,), Bucket(1, lambda t: .03), 14)
    run('initial rate given', (2.0, None, None, None, 1), Bucket(20, lambda t: 1.9), 300)
    run('initial rate given, and the end of the burst shows more', (4.0, None, None, None, 1), Bucket(60, lambda t: 30.0), 300, most=40, trip=.4)
    run('random throttling', (6.0,), RandomThrottling(Bucket(60, lambda t: 6.0), .03), 400, most=16, trip=.2)
    run('random throttling, then the quota falls', (6.0, 6.0, 0.0, 0.0), RandomThrottling(Bucket(60, lambda t: 6.0 if t < 30 else 2.0), .03), 300, most=16, trip=.2)
