"""EqGAN-SA: StyleGAN2 with spatial awareness, unconditional."""
