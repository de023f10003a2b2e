"""The science of USO: tensors in, tensors out, no knowledge of ComfyUI or of training.

Glossary (one word per tensor, everywhere):
    img     tokens of the noisy target picture        txt     text tokens (T5 states)
    vec     conditioning vector of the modulation     pe      rotary position table
    ids     positions (index, row, column) of tokens  ref     content reference tokens (through the autoencoder)
    style   style tokens (SigLIP through the hierarchical projector)
    siglip  hidden states of the SigLIP vision tower  t       time, 1 = noise, 0 = picture
    x_t     noisy latent at time t                    target  velocity the network learns, noise - latent

Shapes are written `B L D` for tokens and `b c h w` for pictures and latents.
"""
