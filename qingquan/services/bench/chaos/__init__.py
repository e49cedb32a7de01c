"""`qingquan bench chaos`: everything that can be killed, stopped, cut off or filled up is, while devices publish; then it is counted."""
