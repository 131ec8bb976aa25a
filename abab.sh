. /tmp/w/b3/pipe/env.sh
for i in 1 2 3; do
for P in /tmp/w/b3/pipe/before /work/pipe; do cd $P; PYTHONPATH=$P py /tmp/w/b3/pipe/bench.py ck,ct,hk,p,P,d,D 2 2>/dev/null; done; done
