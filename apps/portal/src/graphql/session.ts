import { graphql } from '@/gen/session';

export const MeQuery = graphql(`
  query Me {
    me {
      id
      name
      role
      tenant
      csrfToken
    }
  }
`);

export const LoginMutation = graphql(`
  mutation Login($name: String!, $password: String!) {
    login(name: $name, password: $password) {
      id
      name
      role
      tenant
      csrfToken
    }
  }
`);

export const LogoutMutation = graphql(`
  mutation Logout {
    logout
  }
`);
