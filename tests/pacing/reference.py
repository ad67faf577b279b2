#!/usr/bin/env python3
"""The rate controller in a second language, and the table that both must produce.

Stdlib only.  `python3 tests/pacing/reference.py > tests/pacing/reference.csv` after a change of the rate controller. The test
`pace::reference_tests` replays the table's events through src/pace/ and compares every column to 1e-6.

A line is an event at a time: `sent`, `served`, `used` (share of the limit told by a header), `refused` (announced wait,
or nothing; the time the request left), `begin` (initial rate, remembered rate, remembered credit, seconds away, 1 where
somebody said the initial rate).  Then the state after it:
learned rate, rate while unknown, pace, credit, next sending, end of the cool-down.
"""
import collections, heapq, math

SWING, CROSSING, CROSSING_REQUESTS, DOUBLES = .05, 45.0, 400.0, 3.5
FIRST_AFTER, AGAIN_AFTER, LAST_AFTER, SAME, ALONE, SPEND_TRYING = 2, 1, 64, .05, .1, 2.0
SPEND_FIRST, SPEND_LATER, SAVED, SAVED_SHARED, LONG_WAIT, OVERTOOK = 5.0, 7.0, .8, .4, 10.0, 3
AT_ONCE = 4.0


class Controller:
    def __init__(s, documented, rate=None, credit=None, away=0.0, said=None):
        s.D, s.N0, s.said = documented, documented * 150, said
        s.R, s.slow, s.low, s.spend = rate, documented, (rate or 0.0) * (1 - SWING), SPEND_FIRST
        s.credit = s.N0 if credit is None else min(s.N0, credit + (rate or documented) * away)
        s.began = s.cycle = s.throttled_at = None
        s.opened = s.next = s.gate = s.at_refusal = s.longest = 0.0
        s.last_refusal = s.hot = -1e9; s.refused_left = 1e9; s.passed = s.denied = 0
        s.served_n, s.spoiled, s.probe, s.probe_refused = 0, False, None, False
        s.lasted, s.trying, s.after_n, s.left_n = documented, False, FIRST_AFTER, FIRST_AFTER
        s.cycles, s.recent = collections.deque(maxlen=60), collections.deque()

    def lately(s, now):
        return max(1.0, sum(1 for t in s.recent if t >= now - 2) / 2)

    def crossing(s): return max(CROSSING, CROSSING_REQUESTS / s.R)

    def base(s, now):
        if s.R is None: return s.slow
        k = s.crossing(); x = (now - s.opened - k) / k
        b = s.R + ((s.R - s.low) * x if x < 0 else SWING * max(s.R, math.sqrt(s.R * s.D)) * x ** 3)
        if now - s.hot < 2: b = min(b, s.R)
        return max(.05, min(b, 2 * max(s.lately(now), s.R)))

    def pace(s, now): return s.base(now) + s.credit / s.spend

    def ready(s, now):
        """when the next request may leave; None: a probe is out"""
        if s.throttled_at is None: return max(now, s.next)
        return None if s.probe is not None else max(now, s.gate)

    def sent(s, now):
        if s.began is None: s.began = s.opened = s.next = now
        if s.throttled_at is not None: s.probe = now; return
        if now - s.next > 10: s.opened, s.spoiled = now, True          # idle: no growth, no measure
        b = s.base(now); r = b + s.credit / s.spend
        s.credit = max(0.0, s.credit - (r - b) / r)
        s.next = max(s.next, now - .25) + 1 / r
        s.recent.append(now)
        while s.recent[0] < now - 2: s.recent.popleft()

    def used(s, share, now):
        if s.cycle is None: s.credit = min(s.credit, max(0.0, 1 - share) * s.N0)
        if share >= .98: s.hot = now

    def after(s, left):
        """whether it was sent after the throttled request and before the 429 arrived"""
        return s.throttled_at is not None and s.refused_left <= left <= s.throttled_at

    def served(s, now, left):
        s.served_n += 1; s.passed += s.after(left)
        if s.throttled_at is not None:
            if left == s.probe: s.reopen(now)
        elif s.R is None and s.credit <= s.slow * s.spend and now - s.hot >= 2:
            s.slow = min(s.slow * 2 ** (1 / (s.slow * DOUBLES)), 2 * max(s.lately(now), .4 * s.D))

    def refused(s, now, left, wait):
        s.credit = 0.0
        if s.throttled_at is None and left >= s.last_refusal: s.throttled_at, s.refused_left, s.at_refusal = now, left, s.lately(now)
        else: s.denied += s.after(left)
        again = s.probe is not None and left == s.probe
        if again: s.probe, s.probe_refused = None, True
        s.last_refusal = now
        w = wait or 0.0
        if wait is None or again: w = max(w, min(30.0, max(1.0, .5 * (now - s.throttled_at))))
        s.gate = max(s.gate, now + w)

    def reopen(s, now):
        waited = now - s.throttled_at
        if s.cycle is None and waited < max(LONG_WAIT, .5 * (now - s.began)):
            s.slow = max(s.D, s.proved())
            if s.said and s.R is None: s.R, s.low = s.slow, s.slow * (1 - SWING)
        elif not s.spoiled:
            since = s.began if s.cycle is None else s.cycle
            if s.R is not None: s.judge(since, now)
            s.measure(waited, since, now)
        rate = s.slow if s.R is None else s.R
        least = s.low if s.trying else SAVED_SHARED * s.D if waited >= LONG_WAIT else 0.0
        s.credit = min(s.N0, waited * max(SAVED * rate, least))
        s.spend, s.cycle, s.served_n = SPEND_TRYING if s.trying else SPEND_LATER, now, 0
        s.passed, s.denied, s.spoiled, s.probe_refused = 0, 0, False, False
        s.opened = now; s.throttled_at = s.probe = None; s.next = now if s.credit >= AT_ONCE else now + 1 / s.pace(now)

    def proved(s):
        """of a used-up quota only the refill is served: that share of the pace is at least the rate"""
        return s.at_refusal * max(0, s.passed - OVERTOOK) / max(1, s.passed + s.denied)

    def pooled(s, requests, seconds):
        n = t = 0
        for a, dt in reversed(s.cycles):
            n += a; t += dt
            if n >= requests and t >= seconds: break
        return n, t

    def judge(s, since, now):
        """whether the refusal that ended the cycle was about the rate: if it was, going faster is refused at once"""
        n, t = s.pooled(10, 10)
        as_before = (n / t if t else s.R) * (now - since)
        alone = not s.probe_refused and s.denied <= ALONE * (s.passed + s.denied)
        if s.throttled_at - s.opened >= s.crossing():
            s.lasted, s.trying, s.left_n = max(s.lasted, s.R), False, s.after_n
        elif not alone or (s.trying and abs(s.served_n - as_before) <= max(1.0, SAME * as_before)):
            if s.trying: s.after_n = min(LAST_AFTER, 2 * s.after_n)
            s.trying, s.left_n = False, s.after_n
        elif not s.trying:
            s.left_n = max(0, s.left_n - 1); s.trying = s.left_n == 0
        elif s.served_n > as_before: s.after_n = AGAIN_AFTER

    def measure(s, waited, since, now):
        last = s.cycles.pop() if s.cycles and s.cycles[-1][1] < 10 else (0, 0.0)
        s.cycles.append((last[0] + s.served_n, last[1] + now - since))
        s.longest = max(waited, s.longest * .5 ** ((now - since) / 3600))
        n, t = s.pooled(40, max(150.0, min(300.0, 2 * s.longest)))
        m = max(n, 1) / t
        if (n >= 20 and t >= 1) or t >= 10:
            first = s.R is None and waited < .5 * (now - since)
            s.R = max(.05, m, s.proved() if first else 0.0)
            n, t = s.pooled(10, 10)
            lately = s.R if first else n / t
            s.low = min(lately, s.R * (1 - SWING))
            if s.trying: s.low = max(s.low, min(2 * lately, max(s.lasted, s.R)))
        else: s.slow = max(.05, s.slow / 4, min(m, s.slow))


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

class ByChance:
    """also refuses some, whatever the rate, and asks for a second"""
    def __init__(s, server, chance): s.server, s.chance, s.state = server, chance, 1
    def admit(s, now):
        s.state = s.state * 48271 % 2147483647
        return 1 if s.state < s.chance * 2147483647 else s.server.admit(now)
    def share(s): return s.server.share()


def show(controller, now):
    f = lambda v: '' if v is None else f'{v:.7f}'.rstrip('0').rstrip('.')
    return ','.join((f(controller.R), f(controller.slow), f(controller.pace(now)), f(controller.credit), f(controller.next), f(controller.gate)))

def run(name, arguments, server, requests, header=False, told=True, idle=None, most=8, trip=.083):
    """One client, whole microseconds, nothing random: events, and the state after each."""
    controller = Controller(*(0.0 if a is None and i == 3 else a for i, a in enumerate(arguments))); us = lambda t: round(t, 6)
    print(f'# {name}')
    print('0,begin,' + ' '.join('' if a is None else f'{a:g}' for a in (*arguments, *(None,) * 5)[:5]) + ',' + show(controller, 0.0))
    events, now, left, flight, seq = [], 0.001, requests, 0, 0
    while left or events:
        room = flight < min(most, 4 + controller.served_n)
        at = controller.ready(now) if left and room else None
        if at is not None: at = math.ceil(at * 1e6) / 1e6           # a clock has a grain, and is never early
        if at is not None and idle and idle[0] <= at < idle[1]: at = idle[1]
        if at is not None and (not events or at <= events[0][0]):
            now = us(max(now, at)); controller.sent(now)
            print(f'{now:.6f},sent,,' + show(controller, now))
            wait = server.admit(now); left -= 1; flight += 1; seq += 1
            heapq.heappush(events, (us(now + trip + .0131 * (seq % 7)), seq, now, wait, server.share()))
            continue
        now, _, began, wait, share = heapq.heappop(events); flight -= 1
        if header and share >= .8:
            controller.used(share, now); print(f'{now:.6f},used,{share:.9f},' + show(controller, now))
        if wait is None:
            controller.served(now, began); print(f'{now:.6f},served,{began:.6f},' + show(controller, now))
        else:
            left += 1; wait = wait if told else None
            controller.refused(now, began, wait)
            print(f"{now:.6f},refused,{'' if wait is None else wait} {began:.6f}," + show(controller, now))

if __name__ == '__main__':
    print('# time,event,argument,rate,slow,pace,credit,next,gate')
    run('full bucket', (2.0,), Bucket(60, lambda t: 2.0), 220)
    run('bucket smaller than documented, header', (2.0,), Bucket(30, lambda t: .9), 110, header=True)
    run('window, no announced wait', (2.0,), Window(60, 40.0), 200, told=False)
    run('window, remembered', (2.0, 1.3, 20.0, 30.0), Window(60, 40.0), 200)
    run('quota falls, then an idle minute', (2.0, 2.0, 0.0, 0.0), Bucket(8, lambda t: 2.0 if t < 60 else .5), 150, idle=(200.0, 260.0))
    run('far above what is documented, long round trips', (2.0,), Bucket(40, lambda t: 30.0), 500, most=40, trip=.4)
    run('quota falls to less than the round trips of a look', (4.0, 4.0, 0.0, 0.0), Bucket(8, lambda t: 4.0 if t < 30 else .8), 220)
    run('almost nothing is allowed', (2.0,), Bucket(1, lambda t: .03), 14)
    run('the rate was said', (2.0, None, None, None, 1), Bucket(20, lambda t: 1.9), 300)
    run('known rate, and the end of the burst shows more', (4.0, None, None, None, 1), Bucket(60, lambda t: 30.0), 300, most=40, trip=.4)
    run('some are refused by chance', (6.0,), ByChance(Bucket(60, lambda t: 6.0), .03), 400, most=16, trip=.2)
    run('some are refused by chance, then the quota falls', (6.0, 6.0, 0.0, 0.0), ByChance(Bucket(60, lambda t: 6.0 if t < 30 else 2.0), .03), 300, most=16, trip=.2)
